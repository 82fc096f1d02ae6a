package rank

import (
	"cmp"
	"math"
	"slices"
)

// entry is a candidate of the heap: its position, and the key by which it is sorted.
type entry struct {
	key      float64
	position int
}

// before reports whether a is ranked before b. Equal keys are ranked by position, so by id: rankings repeat exactly.
func (a entry) before(b entry) bool {
	return a.key > b.key || a.key == b.key && a.position < b.position
}

// sort fills w.best with the limit best candidates, the best first. What is not scored is never among them.
func (w *work) sort(limit int) {
	w.best = w.best[:0]
	if limit == 0 {
		return
	}
	if w.by == string(byValue) {
		w.sortByValue(limit)
	} else {
		i := 0
		for ; i < len(w.logits) && len(w.best) < limit; i++ {
			if logit := w.logits[i]; logit == logit { // not NaN
				w.push(entry{logit, i}, limit)
			}
		}
		if len(w.best) == limit {
			bar := w.best[0].key // the worst, which a later one must exceed
			for j, logit := range w.logits[i:] {
				if logit > bar {
					bar = w.push(entry{logit, i + j}, limit)
				}
			}
		}
	}
	slices.SortFunc(w.best, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.key, a.key), cmp.Compare(a.position, b.position))
	})
}

// sortByValue is for keys of probability × value. Nearly all candidates are below the bar, and a bound on the
// probability's logarithm, min(logit, 0), tells that without an exponential.
func (w *work) sortByValue(limit int) {
	const slack = 1e-9 // for rounding
	values, logs := w.candidates.set.Values, w.candidates.set.LogValues
	places, some := w.candidates.places, w.candidates.some
	bar := math.Inf(-1) // logarithm of what a full heap's worst entry has, less slack
	full := false
	for i, logit := range w.logits {
		place := i
		if some {
			place = int(places[i])
		}
		bound := logs[place]
		if logit < 0 {
			bound += logit
		}
		if full && !(bound > bar) || logit != logit {
			continue
		}
		e := entry{values[place] * probability(logit), i}
		if full && !e.before(w.best[0]) {
			continue
		}
		bar = math.Log(w.push(e, limit)) - slack
		full = len(w.best) == limit
	}
}

// push adds an entry to the heap, in place of the worst one if it is full, and returns the key of the worst.
func (w *work) push(e entry, limit int) float64 {
	h := w.best
	if len(h) < limit {
		h = append(h, e)
		for i := len(h) - 1; i > 0; {
			parent := (i - 1) / 2
			if !h[parent].before(h[i]) {
				break
			}
			h[parent], h[i] = h[i], h[parent]
			i = parent
		}
	} else {
		h[0] = e
		for i := 0; ; {
			worst := i
			for _, child := range [2]int{2*i + 1, 2*i + 2} {
				if child < len(h) && h[worst].before(h[child]) {
					worst = child
				}
			}
			if worst == i {
				break
			}
			h[worst], h[i] = h[i], h[worst]
			i = worst
		}
	}
	w.best = h
	return h[0].key
}
