package estimators

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/score"
)

// entry is a campaign that serves.
type entry struct {
	campaign   score.Campaign
	classifier *workers.Classifier
	encoder    *encoder
}

// view is an immutable set of entries, ascending by campaign.
type view struct {
	d         *Directory
	entries   []*entry
	campaigns []score.Campaign
	index     map[string]int
}

func newView(d *Directory, entries []*entry) *view {
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.campaign.ID, b.campaign.ID) })
	v := &view{d: d, entries: entries, campaigns: make([]score.Campaign, len(entries)), index: make(map[string]int, len(entries))}
	for i, e := range entries {
		v.campaigns[i] = e.campaign
		v.index[e.campaign.ID] = i
	}
	return v
}

func (v *view) Campaigns() []score.Campaign { return v.campaigns }

func (v *view) Index(campaign string) (int, bool) {
	i, ok := v.index[campaign]
	return i, ok
}

// Prior returns false: estimators have none.
func (v *view) Prior(score.Profile) (float64, bool) { return 0, false }

// Release has nothing to give back: a classifier that is removed meanwhile is missed.
func (v *view) Release() {}

// Score is Probabilities in logits. Where an estimator gives a probability of 0 or 1, the logit is infinite.
func (v *view) Score(ctx context.Context, p score.Profile, logits []float64) (score.Partial, error) {
	partial, err := v.probabilities(ctx, p, logits)
	if err != nil {
		return "", err
	}
	for i, probability := range logits {
		logits[i] = math.Log(probability) - math.Log1p(-probability)
	}
	return partial, nil
}

// Probabilities returns the campaigns that serve now with their probabilities; where one could not be scored it is NaN. It is what
// Score makes logits of: predict_proba's very bits.
func (d *Directory) Probabilities(ctx context.Context, profile score.Profile) (campaigns []score.Campaign, p []float64, _ score.Partial, _ error) {
	v := d.now.Load()
	p = make([]float64, len(v.entries))
	partial, err := v.probabilities(ctx, profile, p)
	return v.campaigns, p, partial, err
}

// reserve is the share of the time left that a request keeps, to sort and encode what was scored by then.
const reserve = 40

// probabilities encodes the profile for every campaign and runs the tasks.
func (v *view) probabilities(ctx context.Context, p score.Profile, to []float64) (score.Partial, error) {
	if len(to) != len(v.entries) {
		return "", fmt.Errorf("estimators: room for %d results of %d campaigns", len(to), len(v.entries))
	}
	if end, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Until(end)/reserve))
		defer cancel()
	}
	b := workers.NewBag(1, len(v.entries))
	ids := v.d.words.of(p)
	var columns []int32
	unfit := 0 // campaigns of which the profile has no row
	tasks := make([]int, len(v.entries))
	for i, e := range v.entries {
		to[i] = math.NaN()
		tasks[i] = b.Len()
		if e.encoder.columns == nil {
			columns = e.encoder.row(columns[:0], ids)
			b.Add(e.classifier, columns)
			continue
		}
		row, err := e.encoder.table(p)
		if err != nil {
			v.d.unfit.Warn(v.d.o.Log, "a profile does not fit a pipeline's columns", "campaign", e.campaign.ID, "error", err)
			tasks[i] = -1
			unfit++
			continue
		}
		b.AddTable(e.classifier, row)
	}
	if err := v.d.pool.Run(ctx, b); err != nil {
		return "", fmt.Errorf("estimators: cannot score: %w", err)
	}
	counts := [4]int{workers.Failed: unfit}
	for i, t := range tasks {
		if t < 0 {
			continue
		}
		counts[b.Outcome(t)]++
		if b.Outcome(t) == workers.Scored {
			to[i] = b.Probability(t, 0)
		}
	}
	for _, why := range b.Faults() {
		v.d.failed.Warn(v.d.o.Log, "a classifier failed for a profile", "error", why)
		break
	}
	switch {
	case counts[workers.Pending] > 0:
		return score.Deadline, nil
	case counts[workers.Missed] > 0:
		return score.Memory, nil
	case counts[workers.Failed] > 0:
		return score.Failed, nil
	}
	return "", nil
}
