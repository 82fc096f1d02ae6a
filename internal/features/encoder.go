package features

import (
	"fmt"
	"math/bits"
	"strconv"
	"sync"

	"github.com/cespare/xxhash/v2"

	"gavel/internal/auction"
)

// Encoder encodes rows by one spec. It is immutable and safe for concurrent use.
type Encoder struct {
	features  []feature
	byScope   [3][]int // features by how often they are computed, in the spec's order
	columns   []Column
	rowLen    int
	tableRows int
	pool      sync.Pool // of *Rows
}

func newEncoder(features []feature, rowLen, tableRows int) *Encoder {
	e := &Encoder{features: features, rowLen: rowLen, tableRows: tableRows, columns: make([]Column, 0, rowLen)}
	zones()
	for i := range features {
		f := &features[i]
		e.byScope[f.scope] = append(e.byScope[f.scope], i)
		high := f.other + 1
		if f.buckets > 0 {
			high = f.offset + int32(f.buckets)
		}
		for range f.slots {
			e.columns = append(e.columns, Column{Feature: f.name, Low: f.offset, High: high})
		}
	}
	e.pool.New = func() any {
		return &Rows{e: e, row: make([]int32, rowLen), hash: make([]uint64, rowLen), count: make([]int, len(features))}
	}
	return e
}

// RowLen returns F, the number of indices in a row.
func (e *Encoder) RowLen() int { return e.rowLen }

// TableRows bounds the indices: each is in [0, TableRows).
func (e *Encoder) TableRows() int { return e.tableRows }

// Columns returns, for every position of a row, which indices it may hold apart from 0. The caller must not change it.
func (e *Encoder) Columns() []Column { return e.columns }

// Encode writes the row of one candidate into row, which must hold RowLen indices. It allocates nothing. For several
// candidates of one request, Begin is cheaper.
func (e *Encoder) Encode(req *auction.Request, cand *auction.Candidate, row []int32) {
	rows := e.Begin(req)
	rows.Encode(cand, row)
	rows.End()
}

// Rows encodes the candidates of one request. Features of the request are encoded once; features of an impression once
// for successive candidates of it. Rows is not safe for concurrent use.
type Rows struct {
	e     *Encoder
	v     view
	imp   int // the impression that is encoded; -1: none
	row   []int32
	hash  []uint64 // by slot: the hash of the value's text
	count []int    // by feature: how many values it has
	buf   []byte   // for composed texts
	tbuf  []byte   // for transforms
	texts [maxRead]string
	parts [MaxParts]int // by part of a cross: the index of its next value
}

// maxRead bounds how many values of a list are read. Repeated and empty values take no slot.
const maxRead = MaxSlots

// Used if a candidate has no impression, campaign or creative: all their features are missing.
var (
	noImpression auction.Impression
	noCampaign   auction.Campaign
	noCreative   auction.Creative
)

// Begin encodes the features of the request. The request must not change until End, which the caller must call.
func (e *Encoder) Begin(req *auction.Request) *Rows {
	r := e.pool.Get().(*Rows)
	r.v = view{req: req}
	r.v.hour, r.v.hasHour = LocalHourOfWeek(req)
	r.imp = -1
	for _, i := range e.byScope[perRequest] {
		r.encode(i)
	}
	return r
}

// Encode writes a candidate's row into row, which must hold RowLen indices. A candidate without an impression,
// campaign or creative has index 0 for their features.
func (r *Rows) Encode(cand *auction.Candidate, row []int32) {
	if cand.Impression != r.imp || r.v.imp == nil {
		r.imp, r.v.imp = cand.Impression, &noImpression
		if i := cand.Impression; i >= 0 && i < len(r.v.req.Impressions) {
			r.v.imp = &r.v.req.Impressions[i]
		}
		for _, i := range r.e.byScope[perImpression] {
			r.encode(i)
		}
	}
	r.v.cand, r.v.camp, r.v.cre = cand, &noCampaign, &noCreative
	if cand.Campaign != nil {
		r.v.camp = cand.Campaign
	}
	if cand.Creative != nil {
		r.v.cre = cand.Creative
	}
	for _, i := range r.e.byScope[perCandidate] {
		r.encode(i)
	}
	r.copyTo(row)
}

// End returns r to the pool. It must not be used afterwards.
func (r *Rows) End() {
	r.v = view{} // keeps no pointer into the request
	r.e.pool.Put(r)
}

func (r *Rows) copyTo(row []int32) {
	if len(row) != len(r.row) {
		panic(fmt.Sprintf("features: row holds %d indices, want %d", len(row), len(r.row)))
	}
	copy(row, r.row)
}

// encode writes the indices of feature i into r.row.
func (r *Rows) encode(i int) {
	f := &r.e.features[i]
	if f.of != nil {
		r.cross(i, f)
		return
	}
	n := 0
	switch src := &f.src; {
	case src.text != nil:
		n = r.addText(f, n, src.text(&r.v))
	case src.number != nil:
		if v, ok := src.number(&r.v); ok {
			n = r.addNumber(f, n, v)
		}
	case src.compose != nil:
		r.buf = src.compose(&r.v, r.buf[:0])
		n = r.addText(f, n, text(r.buf))
	default:
		read := src.list(&r.v, src.arg, r.texts[:])
		for _, value := range r.texts[:read] {
			if n == f.slots {
				break
			}
			n = r.addText(f, n, value)
		}
		clear(r.texts[:read]) // keeps no text of the request alive
	}
	r.finish(i, f, n)
}

// finish sets how many values feature i has, and sets the slots after them to 0.
func (r *Rows) finish(i int, f *feature, n int) {
	r.count[i] = n
	clear(r.row[f.first+n : f.first+f.slots])
}

func (r *Rows) addNumber(f *feature, n int, v int64) int {
	if f.tr != nil && f.tr.number != nil {
		bucket, ok := f.tr.number(v)
		if !ok {
			return r.addNormal(f, n, zeroText)
		}
		v = bucket
	}
	r.buf = strconv.AppendInt(r.buf[:0], v, 10)
	return r.addNormal(f, n, text(r.buf))
}

// addText transforms a text and adds it. A text that the transform does not accept is missing.
func (r *Rows) addText(f *feature, n int, s string) int {
	if s != "" && f.tr != nil {
		s, _ = f.tr.text(s, &r.tbuf)
	}
	return r.addNormal(f, n, s)
}

// addNormal adds one value to feature f, which has n values, and returns the new number of values.
func (r *Rows) addNormal(f *feature, n int, s string) int {
	if s == "" {
		return n
	}
	at := f.first + n
	if f.hashed {
		h := xxhash.Sum64String(s)
		for _, before := range r.hash[f.first:at] {
			if before == h {
				return n
			}
		}
		r.hash[at] = h
	}
	if f.buckets > 0 {
		r.row[at] = f.bucket(r.hash[at])
	} else if index, ok := f.vocab[s]; ok {
		r.row[at] = index
	} else {
		r.row[at] = f.other
	}
	return n + 1
}

// bucket maps a value's hash to one of the feature's indices. The seed is the hash of the feature's name, so that two
// features with the same values do not have the same collisions.
func (f *feature) bucket(h uint64) int32 {
	high, _ := bits.Mul64(mix(h^f.seed), f.buckets)
	return f.offset + int32(high)
}

// cross adds every combination of the parts' values until the slots are full. The last part varies fastest.
func (r *Rows) cross(i int, f *feature) {
	parts := r.parts[:len(f.of)]
	for k, part := range f.of {
		if r.count[part] == 0 {
			r.finish(i, f, 0)
			return
		}
		parts[k] = 0
	}
	n := 0
	for n < f.slots {
		h := uint64(len(parts))
		for k, part := range f.of {
			h = mix(h ^ r.hash[r.e.features[part].first+parts[k]])
		}
		r.hash[f.first+n] = h
		r.row[f.first+n] = f.bucket(h)
		n++
		k := len(parts) - 1
		for ; k >= 0; k-- {
			if parts[k]++; parts[k] < r.count[f.of[k]] {
				break
			}
			parts[k] = 0
		}
		if k < 0 {
			break
		}
	}
	r.finish(i, f, n)
}

// mix is MurmurHash3's 64-bit finaliser: every bit of x moves every bit of the result.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}
