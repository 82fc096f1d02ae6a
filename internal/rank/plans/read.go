package plans

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
	"gavel/internal/rank/classifiers"
)

// Store is what is followed: a model store on this machine, where each model is a campaign.
type Store interface {
	models.Store
	models.Stamper
}

// pointed returns the version of a model that serves: that of the pointer, or the newest without one. 0: there is none.
func pointed(ctx context.Context, store Store, model string) (version int64, err error) {
	p, _, err := store.Pointer(ctx, model)
	switch {
	case err == nil:
		return p.Stable, nil
	case !errors.Is(err, models.ErrNoPointer):
		return 0, err
	}
	versions, err := store.Versions(ctx, model)
	if err != nil || len(versions) == 0 {
		return 0, err
	}
	return versions[len(versions)-1], nil
}

// about is what a manifest says of a classifier.
type about struct {
	created time.Time
	rows    int64
	weights int64
}

// read makes a classifier of a version's plan. Its golden rows become golden profiles.
func read(ctx context.Context, store Store, objects *plan.Objects, model string, version int64) (*classifiers.File, about, error) {
	fetched, err := store.Fetch(ctx, model, version)
	if err != nil {
		return nil, about{}, err
	}
	defer fetched.Release()
	m, rows, err := models.VerifyRows(fetched.Dir, model, version)
	if err != nil {
		return nil, about{}, err
	}
	if !m.Has(plan.Format) {
		return nil, about{}, fmt.Errorf("plans: %s version %d has %s, and a plan is needed: port the model", model, version, strings.Join(m.Formats, ", "))
	}
	linear, err := plan.ReadOneHot(ctx, objects, engine.Version{
		Model: model, Number: version, Dir: filepath.Join(fetched.Dir, plan.Format), Objects: m.Objects,
	})
	if err != nil {
		return nil, about{}, err
	}
	f := &classifiers.File{Kind: classifiers.Classifier, Campaign: model, Version: uint64(version), Trainer: "plan", TrainedMs: m.Created.UnixMilli(),
		Rows: m.Training.Rows, Intercept: linear.Intercept}
	a := about{created: m.Created, rows: m.Training.Rows}
	for _, in := range linear.Inputs {
		f.Features = append(f.Features, classifiers.Feature{
			Name: in.Name, Of: strings.Split(in.Name, classifiers.Separator), Values: in.Values, Weights: in.Weights, Other: in.Other,
		})
		a.weights += int64(len(in.Values))
	}
	if f.Golden, err = golden(f, rows); err != nil {
		return nil, about{}, err
	}
	if err := f.Validate(); err != nil {
		return nil, about{}, err
	}
	return f, a, nil
}

// golden makes golden profiles of a version's golden rows: the first that a file may have. Rows with a missing text are left out, since
// no profile has one.
func golden(f *classifiers.File, rows *models.Rows) (g classifiers.Golden, err error) {
	var inputs []engine.Column
	for i, field := range rows.Inputs.Fields {
		if slices.ContainsFunc(f.Features, func(x classifiers.Feature) bool { return x.Name == field.Name }) {
			if strings.Contains(field.Name, classifiers.Separator) {
				return classifiers.Golden{}, nil // a profile has the parts of a cross, and golden rows only the whole
			}
			if field.Type != engine.Text {
				return g, fmt.Errorf("plans: its golden rows have %s as %v, and texts are needed: port the model again", field.Name, field.Type)
			}
			g.Fields, inputs = append(g.Fields, field.Name), append(inputs, rows.Inputs.Columns[i])
		}
	}
	at := slices.IndexFunc(rows.Outputs.Fields, func(f engine.Field) bool { return f.Name == "probability" })
	if at < 0 || len(inputs) == 0 || rows.Outputs.Fields[at].Type != engine.Float64 {
		return g, errors.New("plans: its golden rows have no probabilities of texts in float64: port the model again")
	}
	p := rows.Outputs.Columns[at]
	for row := 0; row < rows.Inputs.Rows && len(g.Profiles) < classifiers.MaxGolden; row++ {
		var texts []string
		for _, c := range inputs {
			texts = append(texts, c.Text[row])
		}
		if !slices.Contains(texts, missing) {
			g.Profiles, g.Probabilities = append(g.Profiles, texts), append(g.Probabilities, p.Float64[row*p.Width+p.Width-1])
		}
	}
	return g, nil
}

// missing is how golden rows have a missing text.
const missing = "\xff"

// Check reads every plan that serves, and returns how many there are, and every fault. It changes nothing.
func Check(ctx context.Context, store Store) (found int, err error) {
	names, err := store.Models(ctx)
	if err != nil {
		return 0, err
	}
	objects := plan.NewObjects(filepath.Join(store.String(), models.ObjectsDir))
	var faults []error
	for _, model := range names {
		version, err := pointed(ctx, store, model)
		if err == nil && version > 0 {
			found++
			_, _, err = read(ctx, store, objects, model, version)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("plans: %s: %w", model, err))
		}
	}
	return found, errors.Join(faults...)
}
