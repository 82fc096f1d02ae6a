package rank

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"gavel/internal/rank/score"
)

// result is what came of scoring by one model.
type result struct {
	partial score.Partial
	err     error
	panic   any
}

// prior is what the newest prior of one model gives the profile.
type prior struct {
	logit   float64 // NaN: there is no prior
	version uint64
	asked   bool
}

// gather has each model score its campaigns, and its newest prior those without a classifier, and fills w.logits: one for each
// candidate, NaN where it is not scored. It returns why not all were scored. An error means that nothing could be scored, for
// another reason than the deadline.
func (w *work) gather(ctx context.Context, p *plan) (score.Partial, error) {
	n := w.candidates.len()
	w.logits = slices.Grow(w.logits[:0], n)[:n]
	w.unscored = 0
	if ctx.Err() != nil {
		return w.nothing(), nil
	}
	w.scores = slices.Grow(w.scores[:0], len(p.classifiers))[:len(p.classifiers)]
	index, asked := p.index, p.asked // by candidate; the same without campaigns that have no classifier
	if w.candidates.some {
		index, asked = w.named(p)
	}
	partial, err := w.score(ctx, p, asked)
	if err != nil {
		w.nothing()
		if errors.Is(err, context.DeadlineExceeded) {
			return score.Deadline, nil
		}
		return "", err
	}
	w.unscored = pick(w.logits, w.scores, index, partial != "", w.prior)
	return partial, nil
}

// named returns the index and the asked of a plan for the named candidates alone.
func (w *work) named(p *plan) (index []int32, asked [][]int32) {
	w.index = w.index[:0]
	for m := range w.asked {
		w.asked[m] = w.asked[m][:0]
	}
	for _, place := range w.candidates.places {
		at := p.index[place]
		if w.index = append(w.index, at); at >= 0 {
			m := p.set.Models[place]
			w.asked[m] = append(w.asked[m], at-int32(p.from[m]))
		}
	}
	return w.index, w.asked
}

// score has the models score what is asked for, side by side if there are several. A model that fails leaves the others' campaigns. An
// error means that every model failed that was asked.
func (w *work) score(ctx context.Context, p *plan, asked [][]int32) (score.Partial, error) {
	models, last := 0, 0
	for m := range asked {
		w.results[m] = result{}
		if w.wanted(asked[m]) {
			models, last = models+1, m
		}
	}
	if models == 1 {
		r := &w.results[last]
		r.partial, r.err = w.views[last].Score(ctx, w.profile, asked[last], w.scores[p.from[last]:p.from[last+1]])
	} else if models > 1 {
		w.scoreEach(ctx, p, asked)
	}
	partial, failed := score.Partial(""), error(nil)
	failures := 0
	for m := range asked {
		r := &w.results[m]
		if r.err != nil {
			failures++
			if r.partial = score.Failed; errors.Is(r.err, context.DeadlineExceeded) {
				r.partial = score.Deadline
			}
			if failed == nil || !errors.Is(r.err, context.DeadlineExceeded) {
				failed = r.err
			}
			for i := p.from[m]; i < p.from[m+1]; i++ {
				w.scores[i] = math.NaN()
			}
		}
		if before(r.partial, partial) {
			partial = r.partial
		}
	}
	if failures > 0 && failures == models {
		return "", failed
	}
	if failed != nil && !errors.Is(failed, context.DeadlineExceeded) {
		w.server.failed.Warn(w.server.options.Logger, "a model failed, so that rankings lack its campaigns", "error", failed)
	}
	return partial, nil
}

// wanted says whether a view is asked for anything. A request that names campaigns asks for none where the list is empty; else nil is
// all.
func (w *work) wanted(asked []int32) bool {
	return len(asked) > 0 || asked == nil && !w.candidates.some
}

// before says which reason is told, of two.
func before(a, b score.Partial) bool {
	order := [...]score.Partial{score.Deadline, score.Memory, score.Failed}
	return a != "" && (b == "" || slices.Index(order[:], a) < slices.Index(order[:], b))
}

// scoreEach scores by several models, each in a goroutine of its own, so that a slow one takes no time from the others.
func (w *work) scoreEach(ctx context.Context, p *plan, asked [][]int32) {
	var models sync.WaitGroup
	for m := range asked {
		if !w.wanted(asked[m]) {
			continue
		}
		models.Go(func() {
			r := &w.results[m]
			defer func() { r.panic = recover() }()
			r.partial, r.err = w.views[m].Score(ctx, w.profile, asked[m], w.scores[p.from[m]:p.from[m+1]])
		})
	}
	models.Wait()
	for m := range w.results {
		if cause := w.results[m].panic; cause != nil {
			panic(cause) // as if it had been this goroutine's, which recovers at the edge
		}
	}
}

// prior is the logit of a model's newest prior, NaN without one. It is computed once a request.
func (w *work) prior(model int32) float64 {
	r := &w.priors[model]
	if !r.asked {
		r.asked = true
		if r.logit, r.version = w.views[model].Prior(w.profile); r.version == 0 {
			r.logit = math.NaN()
		}
	}
	return r.logit
}

// pick sets each of logits to the score at its index, or to the prior of model ^index where the index is negative, and returns how
// many are NaN. It asks priors only if it needs them. Scores have a NaN only if some lack. The first loop runs for every campaign of
// every ranking.
func pick(logits, scores []float64, index []int32, someLack bool, prior func(model int32) float64) (unscored int) {
	rest := 0 // that priors score
	for i, at := range index[:len(logits)] {
		if uint(at) < uint(len(scores)) {
			logits[i] = scores[at]
		} else {
			rest++
		}
	}
	if rest > 0 {
		for i, at := range index[:len(logits)] {
			if at < 0 {
				logits[i] = prior(^at)
				someLack = someLack || math.IsNaN(logits[i])
			}
		}
	}
	if someLack {
		for _, logit := range logits {
			if math.IsNaN(logit) {
				unscored++
			}
		}
	}
	return unscored
}

// scorer is what scored the candidate at a position: its classifier, or its model's newest prior, of which there is only the version.
func (w *work) scorer(p *plan, position int) score.Campaign {
	index := p.index[w.candidates.place(position)]
	if index >= 0 {
		return p.classifiers[index]
	}
	return score.Campaign{Prior: w.priors[^index].version}
}

// nothing marks all candidates as not scored.
func (w *work) nothing() score.Partial {
	for i := range w.logits {
		w.logits[i] = math.NaN()
	}
	w.unscored = len(w.logits)
	return score.Deadline
}

// probability is 1/(1+exp(−logit)).
func probability(logit float64) float64 { return 1 / (1 + math.Exp(-logit)) }
