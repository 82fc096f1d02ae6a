package rank

import (
	"context"
	"errors"
	"math"
	"slices"

	"gavel/internal/rank/score"
)

// gather has the view score all its campaigns and the newest prior the others, and fills w.logits: one for each candidate,
// NaN where it is not scored. It returns why not all were scored. An error means that nothing could be scored, for
// another reason than the deadline.
func (w *work) gather(ctx context.Context, view score.View, p *plan) (score.Partial, error) {
	n := w.candidates.len()
	w.logits = slices.Grow(w.logits[:0], n)[:n]
	w.unscored = 0
	if ctx.Err() != nil {
		return w.nothing(), nil
	}
	w.scores = slices.Grow(w.scores[:0], len(p.classifiers))[:len(p.classifiers)]
	partial, err := view.Score(ctx, w.profile, w.scores)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return w.nothing(), nil
		}
		w.nothing()
		return "", err
	}
	index := p.index // by candidate
	if w.candidates.some {
		w.index = w.index[:0]
		for _, place := range w.candidates.places {
			w.index = append(w.index, p.index[place])
		}
		index = w.index
	}
	w.unscored = pick(w.logits, w.scores, index, partial != "", func() float64 {
		if logit, ok := view.Prior(w.profile); ok {
			return logit
		}
		return math.NaN()
	})
	return partial, nil
}

// pick sets each of logits to the score at its index, or to the prior's where the index is negative, and returns how many are
// NaN. It asks the prior only if it needs it. Scores have a NaN only if some lack. The first loop runs for every campaign of every
// ranking.
func pick(logits, scores []float64, index []int32, someLack bool, askPrior func() float64) (unscored int) {
	rest := 0 // that the prior scores
	for i, at := range index[:len(logits)] {
		if uint(at) < uint(len(scores)) {
			logits[i] = scores[at]
		} else {
			rest++
		}
	}
	if rest > 0 {
		prior := askPrior()
		for i, at := range index[:len(logits)] {
			if at < 0 {
				logits[i] = prior
			}
		}
		someLack = someLack || math.IsNaN(prior)
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
