package bank

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"gavel/internal/rank/score"
)

// bitset tells rows that do not serve any more.
type bitset []uint64

func (b bitset) has(row int) bool { return b != nil && b[row/64]>>(row%64)&1 == 1 }

// with returns a copy of the set that has the row too.
func (b bitset) with(row, rows int) bitset {
	c := make(bitset, (rows+63)/64)
	copy(c, b)
	c[row/64] |= 1 << (row % 64)
	return c
}

func (b bitset) count() (n int) {
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return n
}

// source is a segment to merge, and its rows that are left out.
type source struct {
	segment *segment
	dead    bitset
}

// origin is where a merged row comes from.
type origin struct{ source, row int }

// merger makes one segment of several: by features, then by values in the order of their texts, which all segments have. It goes
// through the values twice, to count and to write, so that the memory it takes is what the result needs.
type merger struct {
	sources  []source
	origins  []origin
	rows     [][]int32 // [source][row] its row in the result, or −1
	features []feature
}

// merge returns a segment of the rows that the sources have left, and where each comes from.
func merge(account *mapped, seed uint64, sources []source) (*segment, []origin, error) {
	m := merger{sources: sources}
	m.place()
	for _, s := range sources {
		m.features = append(m.features, s.segment.features...)
	}
	slices.SortFunc(m.features, func(a, b feature) int { return cmp.Compare(a.key, b.key) })
	m.features = slices.CompactFunc(m.features, func(a, b feature) bool { return a.key == b.key })

	size := sizes{rows: len(m.origins), features: len(m.features)}
	for f := range m.features {
		m.each(m.features[f].key, func(text []byte, group []*cursor) {
			known, fines := m.count(group)
			if known == 0 {
				return
			}
			size.values++
			size.text += len(text)
			size.entries += fines
			if m.isDense(known) {
				size.dense++
			} else {
				size.entries += known
			}
		})
	}
	g, err := newSegment(account, seed, size)
	if err != nil {
		return nil, nil, err
	}
	w := writer{merger: &m, to: g}
	g.features = m.features
	for f := range m.features {
		g.first[f] = uint32(w.value)
		m.each(m.features[f].key, w.write)
	}
	g.first[len(m.features)] = uint32(w.value)
	g.setValue(w.value, w.text, w.entries, -1)
	g.campaigns = make([]score.Campaign, len(m.origins))
	for row, o := range m.origins {
		from := sources[o.source].segment
		g.base[row], g.campaigns[row] = from.base[o.row], from.campaigns[o.row]
	}
	g.finish()
	return g, m.origins, nil
}

// place gives each row that is left its row in the result: rows of one prior together.
func (m *merger) place() {
	for i, s := range m.sources {
		to := make([]int32, len(s.segment.campaigns))
		for row := range to {
			to[row] = -1
			if !s.dead.has(row) {
				m.origins = append(m.origins, origin{i, row})
			}
		}
		m.rows = append(m.rows, to)
	}
	prior := func(o origin) uint64 { return m.sources[o.source].segment.campaigns[o.row].Prior }
	slices.SortStableFunc(m.origins, func(a, b origin) int { return cmp.Compare(prior(a), prior(b)) })
	for row, o := range m.origins {
		m.rows[o.source][o.row] = int32(row)
	}
}

func (m *merger) isDense(known int) bool {
	return len(m.origins) >= denseRows && 3*known > len(m.origins)
}

// count returns how many rows know a value, and how many entries refine what they know.
func (m *merger) count(group []*cursor) (known, fines int) {
	for _, c := range group {
		to, g := m.rows[c.source], c.segment
		for row, delta := range g.row(c.value) {
			if delta != 0 && to[row] >= 0 {
				known++
			}
		}
		for _, e := range g.list(c.value) {
			switch {
			case to[e.row&^fine] < 0:
			case e.row&fine != 0:
				fines++
			default:
				known++
			}
		}
	}
	return known, fines
}

// writer fills the result.
type writer struct {
	*merger
	to                          *segment
	value, text, entries, dense int // what is written
}

func (w *writer) write(text []byte, group []*cursor) {
	known, _ := w.count(group)
	if known == 0 {
		return
	}
	w.to.known += known
	var row []float32
	if w.isDense(known) {
		n := int(w.to.c.padded)
		row = w.to.dense[w.dense*n : (w.dense+1)*n]
		w.to.setValue(w.value, w.text, w.entries, w.dense)
		w.dense++
	} else {
		w.to.setValue(w.value, w.text, w.entries, -1)
	}
	w.value++
	w.text += copy(w.to.text[w.text:], text)
	add := func(e entry) {
		w.to.entries[w.entries] = e
		w.entries++
	}
	for _, c := range group {
		to, g := w.rows[c.source], c.segment
		for from, delta := range g.row(c.value) {
			switch at := to[from]; {
			case delta == 0 || at < 0:
			case row != nil:
				row[at] = delta
			default:
				add(newEntry(uint16(at), delta))
			}
		}
		for _, e := range g.list(c.value) {
			switch at := to[e.row&^fine]; {
			case at < 0:
			case row != nil && e.row&fine == 0:
				row[at] = e.delta()
			default:
				add(entry{uint16(at) | e.row&fine, e.low, e.high})
			}
		}
	}
}

// cursor stands at a value of a source's feature.
type cursor struct {
	segment *segment
	source  int
	value   uint32
	end     uint32
	prefix  uint64 // the text's first 8 bytes, so that most comparisons need no text
	text    []byte
}

func (c *cursor) load() {
	c.text = c.segment.text[c.segment.values[c.value].text:c.segment.values[c.value+1].text]
	var head [8]byte
	copy(head[:], c.text)
	c.prefix = binary.BigEndian.Uint64(head[:])
}

func (c *cursor) compare(d *cursor) int {
	if c.prefix != d.prefix {
		return cmp.Compare(c.prefix, d.prefix)
	}
	return bytes.Compare(c.text, d.text)
}

// each calls visit for every value of a feature, ascending, with the cursors that stand at it, in the order of sources.
func (m *merger) each(key string, visit func(text []byte, group []*cursor)) {
	var heap []*cursor // the least is first
	less := func(a, b *cursor) bool {
		c := a.compare(b)
		return c < 0 || c == 0 && a.source < b.source
	}
	sink := func(i int) {
		for {
			child := 2*i + 1
			if child >= len(heap) {
				return
			}
			if child+1 < len(heap) && less(heap[child+1], heap[child]) {
				child++
			}
			if !less(heap[child], heap[i]) {
				return
			}
			heap[i], heap[child] = heap[child], heap[i]
			i = child
		}
	}
	for i, s := range m.sources {
		f, has := slices.BinarySearchFunc(s.segment.features, key, func(f feature, key string) int { return cmp.Compare(f.key, key) })
		if !has || s.segment.first[f] == s.segment.first[f+1] {
			continue
		}
		c := &cursor{segment: s.segment, source: i, value: s.segment.first[f], end: s.segment.first[f+1]}
		c.load()
		heap = append(heap, c)
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		sink(i)
	}
	var group []*cursor
	for len(heap) > 0 {
		group = append(group[:0], heap[0])
		// Take all that stand at this value off the heap, then put them back at their next ones.
		pop := func() {
			last := len(heap) - 1
			heap[0] = heap[last]
			heap = heap[:last]
			sink(0)
		}
		pop()
		for len(heap) > 0 && heap[0].compare(group[0]) == 0 {
			group = append(group, heap[0])
			pop()
		}
		visit(group[0].text, group)
		for _, c := range group {
			if c.value++; c.value == c.end {
				continue
			}
			c.load()
			heap = append(heap, c)
			for i := len(heap) - 1; i > 0 && less(heap[i], heap[(i-1)/2]); i = (i - 1) / 2 {
				heap[i], heap[(i-1)/2] = heap[(i-1)/2], heap[i]
			}
		}
	}
}
