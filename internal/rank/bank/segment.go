package bank

// #include "bank.h"
import "C"

import (
	"math"
	"strings"
	"unsafe"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
	"gavel/internal/references"
)

const (
	maxRows    = C.BANK_ROWS
	lanes      = C.BANK_LANES
	fine       = C.BANK_FINE
	maxEntries = 1 << 26 // of a segment
	maxText    = 1 << 30 // bytes of a segment's values
	// denseRows is from how many rows on a value may have a dense row: smaller ones are mostly padding.
	denseRows = 64
)

// entry is a bank_entry: a row, and what its logit gains. Its float has no alignment.
type entry struct{ row, low, high uint16 }

func newEntry(row uint16, delta float32) entry {
	bits := math.Float32bits(delta)
	return entry{row, uint16(bits), uint16(bits >> 16)}
}

func (e entry) delta() float32 { return math.Float32frombits(uint32(e.high)<<16 | uint32(e.low)) }

// feature is what values are of.
type feature struct {
	of  []string // fields
	key string   // the fields, joined; features of a segment ascend by it
}

func newFeature(of []string) feature {
	f := feature{key: strings.Clone(strings.Join(of, classifiers.Separator))}
	f.of = strings.Split(f.key, classifiers.Separator)
	return f
}

// A segment is up to maxRows classifiers as one structure, by value. It is immutable, and freed when its last holder releases it.
//
// A row's logit is base[row], plus what the profile's values add to it: of a value that many rows know, dense holds a float32 a
// row; of others, a list names the rows. Rows that do not know a value gain nothing, because base includes the weights of all
// other values. Where float32 is not exact enough, an entry marked fine adds the rest.
type segment struct {
	account  *mapped
	block    *block
	c        *C.bank_segment
	refs     references.Count
	features []feature

	// In the block.
	base    []float64
	first   []uint32
	values  []C.bank_value
	table   []C.bank_slot
	text    []byte
	entries []entry
	dense   []float32

	campaigns []score.Campaign // by row; ascending by prior
	index     map[string]int   // rows of campaigns
	known     int              // values that rows know, in sum
	longest   int              // bytes of the longest value
}

// sizes are what a segment has room for.
type sizes struct{ rows, features, values, text, entries, dense int }

func (s sizes) padded() int { return (s.rows + lanes - 1) / lanes * lanes }

// slots is the size of the hash table: at most half full.
func (s sizes) slots() int {
	n := 4
	for n < 2*s.values {
		n *= 2
	}
	return n
}

// newSegment makes one with room, which its maker fills. It has one holder.
func newSegment(account *mapped, seed uint64, s sizes) (*segment, error) {
	padded, slots := s.padded(), s.slots()
	b, err := newBlock(account, room[C.bank_segment](1)+room[float64](padded)+room[uint32](s.features+1)+room[C.bank_value](s.values+1)+
		room[C.bank_slot](slots)+room[byte](s.text)+room[entry](s.entries)+room[float32](s.dense*padded))
	if err != nil {
		return nil, err
	}
	g := &segment{account: account, block: b, c: &take[C.bank_segment](b, 1)[0]}
	g.base, g.first, g.values = take[float64](b, padded), take[uint32](b, s.features+1), take[C.bank_value](b, s.values+1)
	g.table, g.text, g.entries = take[C.bank_slot](b, slots), take[byte](b, s.text), take[entry](b, s.entries)
	g.dense = take[float32](b, s.dense*padded)
	*g.c = C.bank_segment{rows: C.int32_t(s.rows), padded: C.int32_t(padded), features: C.int32_t(s.features), mask: C.uint32_t(slots - 1),
		seed: C.uint64_t(seed), base: (*C.double)(unsafe.SliceData(g.base)), first: (*C.uint32_t)(unsafe.SliceData(g.first)),
		values: unsafe.SliceData(g.values), table: unsafe.SliceData(g.table), text: (*C.uint8_t)(unsafe.SliceData(g.text)),
		entries: (*C.bank_entry)(unsafe.Pointer(unsafe.SliceData(g.entries))), dense: (*C.float)(unsafe.SliceData(g.dense))}
	g.refs.Start()
	return g, nil
}

// finish builds what is found of the values: the hash table, and the index of campaigns.
func (g *segment) finish() {
	C.bank_fill(g.c, unsafe.SliceData(g.table))
	for v := range len(g.values) - 1 {
		g.longest = max(g.longest, int(g.values[v+1].text-g.values[v].text))
	}
	g.index = make(map[string]int, len(g.campaigns))
	for row, c := range g.campaigns {
		g.index[c.ID] = row
	}
}

// size is how many bytes it takes.
func (g *segment) size() int64 { return int64(len(g.block.bytes)) }

func (g *segment) hold() *segment {
	g.refs.Acquire() // its caller holds it
	return g
}

func (g *segment) release() {
	if g.refs.Release() {
		g.block.free(g.account)
	}
}

// list returns a value's entries.
func (g *segment) list(value uint32) []entry {
	return g.entries[g.values[value].list:g.values[value+1].list]
}

// row returns a value's dense row, or nil.
func (g *segment) row(value uint32) []float32 {
	at := int(g.values[value].dense)
	if at < 0 {
		return nil
	}
	n := int(g.c.padded)
	return g.dense[at*n : at*n+len(g.campaigns)]
}

func (g *segment) setValue(at, text, list, dense int) {
	g.values[at] = C.bank_value{text: C.uint32_t(text), list: C.uint32_t(list), dense: C.int32_t(dense)}
}
