package bank

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// load is what a merged segment would hold at most.
type load struct{ rows, entries, text int }

func (l *load) add(p part) {
	l.rows += p.live
	l.entries += len(p.segment.entries) + p.segment.known
	l.text += len(p.segment.text)
}

// fits reports whether a part can be added.
func (l load) fits(p part) bool {
	l.add(p)
	return l.rows <= maxRows && l.entries <= maxEntries && l.text <= maxText
}

// choose returns the parts to merge next, or none.
func choose(parts []part) (chosen []part) {
	order := slices.Clone(parts)
	slices.SortStableFunc(order, func(a, b part) int { return cmp.Compare(a.live, b.live) })
	var held load
	n := 0
	for i, p := range order {
		if !held.fits(p) {
			break
		}
		if i > 0 && p.live < growth*held.rows {
			n = i + 1
		}
		held.add(p)
	}
	if n > 0 {
		return order[:n]
	}
	for i, p := range order { // else what wastes a third of its memory is written anew
		if 2*(len(p.segment.campaigns)-p.live) > p.live {
			return order[i : i+1]
		}
	}
	return nil
}

// mergeLoop merges segments, one merge at a time, until the bank is closed.
func (b *Bank) mergeLoop() {
	for range b.wake {
		for b.mergeOnce() {
		}
	}
}

// Settle waits until nothing is left to merge, a merge failed for want of memory, or the bank is closed.
func (b *Bank) Settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(choose(b.current.Load().parts)) > 0 && !b.failed && !b.closed {
		b.merged.Wait()
	}
}

// mergeOnce reports whether there was something to merge.
func (b *Bank) mergeOnce() bool {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	s := b.view() // holds the segments
	defer s.Release()
	chosen := choose(s.parts)
	if closed || len(chosen) == 0 {
		return false
	}
	sources := make([]source, len(chosen))
	for i, p := range chosen {
		sources[i] = source{p.segment, p.dead}
	}
	began := time.Now()
	g, origins, err := merge(&b.account, b.seed, sources)
	took := time.Since(began)
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.merged.Broadcast()
	if b.failed = err != nil; b.failed {
		b.options.Log.Error("classifiers are not merged, so that scores take longer", "segments", len(chosen), "error", err)
		return false
	}
	defer g.release()
	b.metrics.merged(took)
	if b.closed {
		return false
	}
	if b.failed = !b.install(g, origins, sources); b.failed {
		return false
	}
	return true
}

// install replaces segments by the one that they were merged to, without what was replaced or removed meanwhile.
func (b *Bank) install(g *segment, origins []origin, sources []source) bool {
	now := b.current.Load()
	dead := make([]bitset, len(sources))
	gone := make([]bool, len(sources))
	var parts []part
	for i, s := range sources {
		at := slices.IndexFunc(now.parts, func(p part) bool { return p.segment == s.segment })
		if gone[i] = at < 0; !gone[i] {
			dead[i] = now.parts[at].dead
		}
	}
	for _, p := range now.parts {
		if !slices.ContainsFunc(sources, func(s source) bool { return s.segment == p.segment }) {
			parts = append(parts, p)
		}
	}
	made := part{segment: g, live: len(origins)}
	for row, o := range origins {
		if gone[o.source] || dead[o.source].has(o.row) {
			made.bury(row)
		}
	}
	if made.live > 0 {
		parts = append(parts, made)
	}
	s, err := newState(b, now.priors, parts)
	if err != nil {
		b.options.Log.Error("merged classifiers are not put in place, so that scores take longer", "error", err)
		return false
	}
	b.swap(s)
	return true
}
