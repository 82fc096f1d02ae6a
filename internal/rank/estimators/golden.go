package estimators

import (
	"context"
	"fmt"
	"math"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/score"
)

// goldenTolerance is the largest difference of a golden probability.
const goldenTolerance = 1e-6

// checkGolden compares golden profiles' probabilities with those of the runner. A classifier that has no room with the workers goes
// unchecked, as nothing can score it.
func (d *Directory) checkGolden(ctx context.Context, e *entry, g *golden) error {
	if g == nil || len(g.Profiles) == 0 {
		return nil
	}
	b := d.runner.NewBag(len(g.Profiles))
	for _, fields := range g.Profiles {
		var p score.Profile
		for name, value := range fields {
			p = append(p, score.Field{Name: name, Value: value})
		}
		if e.encoder.columns == nil {
			b.Add(e.model, e.encoder.row(nil, d.words.of(p)))
			continue
		}
		row, err := e.encoder.table(p)
		if err != nil {
			return fmt.Errorf("estimators: a golden profile of %s: %w", e.campaign.ID, err)
		}
		b.AddTable(e.model, row)
	}
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := b.Run(within); err != nil {
		return fmt.Errorf("estimators: cannot score golden profiles of %s: %w", e.campaign.ID, err)
	}
	for i, want := range g.Probabilities {
		switch b.Outcome(i) {
		case workers.Scored:
			if got := b.Probability(i); !(math.Abs(got-want) <= goldenTolerance) {
				return fmt.Errorf("estimators: %s gives golden profile %d the probability %v, its description says %v", e.campaign.ID, i, got, want)
			}
		case workers.Failed:
			return fmt.Errorf("estimators: golden profile %d: %s", i, b.Faults()[i])
		case workers.Pending:
			return fmt.Errorf("estimators: golden profile %d of %s was not scored within a minute", i, e.campaign.ID)
		}
	}
	return nil
}
