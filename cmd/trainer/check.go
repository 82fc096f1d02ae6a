package main

import (
	"context"
	"path/filepath"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
)

// checker returns what the trainer asks of a version before it puts it into the store: the plan gives the golden rows in the engine
// that bidders run. pytrain has loaded the SavedModel already, and this process has no TensorFlow.
func checker(store string) func(ctx context.Context, dir, model string, version int64) error {
	loaders := engine.Loaders{models.PlanFormat: plan.Loader(plan.NewObjects(filepath.Join(store, models.ObjectsDir)), plan.Options{})}
	return func(ctx context.Context, dir, model string, version int64) error {
		m, err := models.ReadManifest(dir)
		if err != nil || !m.Has(models.PlanFormat) {
			return err
		}
		s, err := models.Load(ctx, loaders, dir, model, version, models.LoadOptions{Format: models.PlanFormat, WarmRows: []int{1}})
		if err == nil {
			s.Release()
		}
		return err
	}
}
