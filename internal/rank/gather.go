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
	asked, prior := false, math.NaN() // the prior is asked only if a candidate needs it
	for i := range w.logits {
		index := p.index[w.candidates.place(i)]
		if index < 0 {
			if !asked {
				asked = true
				if logit, ok := view.Prior(w.profile); ok {
					prior = logit
				}
			}
			w.logits[i] = prior
		} else {
			w.logits[i] = w.scores[index]
		}
		if w.logits[i] != w.logits[i] { // NaN
			w.unscored++
		}
	}
	return partial, nil
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
