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
	w.unscored, w.prior = 0, 0
	if ctx.Err() != nil {
		return w.nothing(), nil
	}
	w.scores = slices.Grow(w.scores[:0], len(p.classifiers))[:len(p.classifiers)]
	index, asked := p.index, p.asked // by candidate; the same without campaigns that have no classifier
	if w.candidates.some {
		w.index, w.asked = w.index[:0], w.asked[:0]
		for _, place := range w.candidates.places {
			at := p.index[place]
			if w.index = append(w.index, at); at >= 0 {
				w.asked = append(w.asked, at)
			}
		}
		index, asked = w.index, w.asked
	}
	partial, err := score.Partial(""), error(nil)
	if len(asked) > 0 || asked == nil && !w.candidates.some {
		partial, err = view.Score(ctx, w.profile, asked, w.scores)
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return w.nothing(), nil
		}
		w.nothing()
		return "", err
	}
	w.unscored = pick(w.logits, w.scores, index, partial != "", func() (logit float64) {
		if logit, w.prior = view.Prior(w.profile); w.prior == 0 {
			return math.NaN()
		}
		return logit
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

// scorer is what scored the candidate at a position: its classifier, or the newest prior, of which there is only the version.
func (w *work) scorer(p *plan, position int) score.Campaign {
	if index := p.index[w.candidates.place(position)]; index >= 0 {
		return p.classifiers[index]
	}
	return score.Campaign{Prior: w.prior}
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
