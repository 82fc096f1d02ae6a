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
	campaign score.Campaign
	model    Model
	encoder  *encoder
}

// view is an immutable set of entries, ascending by campaign.
type view struct {
	d         *Directory
	entries   []*entry
	campaigns []score.Campaign
	index     map[string]int
	all       []int32 // every index
}

func newView(d *Directory, entries []*entry) *view {
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.campaign.ID, b.campaign.ID) })
	v := &view{d: d, entries: entries, campaigns: make([]score.Campaign, len(entries)), index: make(map[string]int, len(entries))}
	for i, e := range entries {
		v.campaigns[i] = e.campaign
		v.index[e.campaign.ID] = i
		v.all = append(v.all, int32(i))
	}
	return v
}

func (v *view) Campaigns() []score.Campaign { return v.campaigns }

func (v *view) Index(campaign string) (int, bool) {
	i, ok := v.index[campaign]
	return i, ok
}

// Prior returns none: estimators have none.
func (v *view) Prior(score.Profile) (float64, uint64) { return 0, 0 }

// Release has nothing to give back: a classifier that is removed meanwhile is missed.
func (v *view) Release() {}

// Score is Probabilities in logits. Where an estimator gives a probability of 0 or 1, the logit is infinite.
func (v *view) Score(ctx context.Context, p score.Profile, asked []int32, logits []float64) (score.Partial, error) {
	partial, err := v.probabilities(ctx, p, asked, logits)
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
	partial, err := v.probabilities(ctx, profile, nil, p)
	return v.campaigns, p, partial, err
}

// reserve is the share of the time left that a request keeps, to sort and encode what was scored by then.
const reserve = 40

// probabilities encodes the profile for every campaign that is asked for and runs the tasks. nil asks for all.
func (v *view) probabilities(ctx context.Context, p score.Profile, asked []int32, to []float64) (score.Partial, error) {
	if len(to) != len(v.entries) {
		return "", fmt.Errorf("estimators: room for %d results of %d campaigns", len(to), len(v.entries))
	}
	if end, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Until(end)/reserve))
		defer cancel()
	}
	if asked == nil {
		asked = v.all
	}
	b := v.d.runner.NewBag(len(asked))
	ids := v.d.words.of(p)
	var columns []int32
	unfit := 0 // campaigns of which the profile has no row
	for i := range to {
		to[i] = math.NaN()
	}
	tasks := make([]int, len(asked))
	for i, at := range asked {
		e := v.entries[at]
		tasks[i] = b.Len()
		if e.encoder.columns == nil {
			columns = e.encoder.row(columns[:0], ids)
			b.Add(e.model, columns)
			continue
		}
		row, err := e.encoder.table(p)
		if err != nil {
			v.d.unfit.Warn(v.d.o.Log, "a profile does not fit a pipeline's columns", "campaign", e.campaign.ID, "error", err)
			tasks[i] = -1
			unfit++
			continue
		}
		b.AddTable(e.model, row)
	}
	if err := b.Run(ctx); err != nil {
		return "", fmt.Errorf("estimators: cannot score: %w", err)
	}
	counts := [4]int{workers.Failed: unfit}
	for i, t := range tasks {
		if t < 0 {
			continue
		}
		counts[b.Outcome(t)]++
		if b.Outcome(t) == workers.Scored {
			to[asked[i]] = b.Probability(t)
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
