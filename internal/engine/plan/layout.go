package plan

import (
	"fmt"
	"slices"

	"gavel/internal/engine"
)

// tile is GV_TILE, the rows of one run at most.
const tile = 64

// align is GV_ALIGN.
const align = 64

// maxScratch bounds the memory of one run's values, in bytes.
const maxScratch = 256 << 20

// layout gives each step's value its place in the scratch memory of a run: dense rows, or the starts of a sparse value's rows.
// Values that are never needed at the same time share places, but for those of the steps in apart, which may be run later than in
// their order. offsets are in the order of the steps.
func (g *checked) layout(apart map[int]bool) (offsets []int64, size int64, err error) {
	inputs := len(g.inputs)
	last := make([]int, inputs+len(g.steps)) // the last step that reads each value
	for i, s := range g.steps {
		for _, from := range s.reads {
			last[from] = i
		}
	}
	for _, v := range g.gives {
		last[v] = len(g.steps)
	}
	free := gaps{{0, maxScratch}}
	for i, s := range g.steps {
		at, ok := free.take(bytesOf(s.kind))
		if !ok {
			return nil, 0, fmt.Errorf("plan: %s: its value %v does not fit into the %d MiB that a run may use", s.name, s.kind, maxScratch>>20)
		}
		offsets = append(offsets, at)
		size = max(size, at+bytesOf(s.kind))
		read := slices.Clone(s.reads)
		slices.Sort(read)
		for _, from := range slices.Compact(read) {
			if from >= inputs && last[from] == i && !apart[from-inputs] {
				free.give(offsets[from-inputs], bytesOf(g.steps[from-inputs].kind))
			}
		}
	}
	return offsets, size, nil
}

// bytesOf is what a value takes, a multiple of align.
func bytesOf(k kind) int64 {
	bytes := int64(tile) * int64(k.width)
	switch {
	case k.sparse:
		bytes = 4 * (tile + 1)
	case k.of == engine.Text:
		bytes *= textSize
	case k.of == engine.Float64:
		bytes *= 8
	default:
		bytes *= 4
	}
	return (bytes + align - 1) / align * align
}

// gaps are free places, ascending, none next to another.
type gaps []struct{ at, size int64 }

// take takes from the first gap that is large enough.
func (g *gaps) take(size int64) (at int64, ok bool) {
	for i := range *g {
		gap := &(*g)[i]
		if gap.size < size {
			continue
		}
		at = gap.at
		gap.at, gap.size = gap.at+size, gap.size-size
		if gap.size == 0 {
			*g = slices.Delete(*g, i, i+1)
		}
		return at, true
	}
	return 0, false
}

// give gives a place back.
func (g *gaps) give(at, size int64) {
	i := 0
	for i < len(*g) && (*g)[i].at < at {
		i++
	}
	*g = slices.Insert(*g, i, struct{ at, size int64 }{at, size})
	for _, j := range []int{i, i - 1} { // join with the next, then with the one before
		if j >= 0 && j+1 < len(*g) && (*g)[j].at+(*g)[j].size == (*g)[j+1].at {
			(*g)[j].size += (*g)[j+1].size
			*g = slices.Delete(*g, j+1, j+2)
		}
	}
}
