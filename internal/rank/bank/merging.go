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

// choose returns the parts to merge next, or none. A part is worth writing anew if waste times its rows that do not serve are more
// than those that do.
func choose(parts []part, waste int) (chosen []part) {
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
	for i, p := range order {
		if waste*(len(p.segment.campaigns)-p.live) > p.live {
			return order[i : i+1]
		}
	}
	return nil
}

// wastes is choose's waste: a third of a part's memory, or anything while the parts take more than the bound.
func (b *Bank) wastes(parts []part) int {
	if b.bound == nil {
		return 2
	}
	taken := int64(0)
	for _, p := range parts {
		taken += p.segment.size()
	}
	if taken <= b.bound.memory {
		return 2
	}
	return maxRows
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
	for parts := b.current.Load().parts; len(choose(parts, b.wastes(parts))) > 0 && !b.failed && !b.closed; parts = b.current.Load().parts {
		b.merged.Wait()
	}
}

// mergeOnce reports whether there was something to merge.
func (b *Bank) mergeOnce() bool {
	b.mu.Lock()
	closed := b.closed
	s := b.view() // holds the segments
	chosen := choose(s.parts, b.wastes(s.parts))
	b.mu.Unlock()
	defer s.Release()
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
	s, err := newState(b, now.priors, parts, now.absent)
	if err != nil {
		b.options.Log.Error("merged classifiers are not put in place, so that scores take longer", "error", err)
		return false
	}
	b.swap(s)
	b.missed() // it takes less memory than before
	return true
}
