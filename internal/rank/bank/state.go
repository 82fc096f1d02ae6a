package bank

/*
#cgo noescape bank_score
#cgo nocallback bank_score
#include "bank.h"
*/
import "C"

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"
	"unsafe"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
	"gavel/internal/references"
)

// part is a segment as a state serves it: without the rows that newer segments replace, or that were removed.
type part struct {
	segment *segment
	dead    bitset
	live    int // rows that serve
	from    int // index of the first of them
}

// A state is what serves at one time. It is immutable. It implements score.View: who has it holds it, and its segments with it.
type state struct {
	bank      *Bank
	refs      references.Count
	priors    []*segment // ascending by version; one row each
	parts     []part
	absent    *absents // their campaigns come last, after live rows
	live      int
	asks      asks // nil if none is absent: then nothing competes for room
	campaigns []score.Campaign
	fields    map[string]int // by name
	texts     [][]int        // the fields of each text that segments read
	longest   int            // bytes of the longest text that any segment knows

	block   *block // of the C structures
	cPriors []C.bank_part
	cParts  []C.bank_part
}

var _ score.View = (*state)(nil)

// newState makes a state with one holder, and holds the segments.
func newState(b *Bank, priors []*segment, parts []part, absent *absents) (*state, error) {
	s := &state{bank: b, priors: priors, parts: parts, absent: absent, fields: map[string]int{}}
	segments := slices.Clone(priors)
	for _, p := range parts {
		segments = append(segments, p.segment)
		s.live += p.live
	}
	s.campaigns = make([]score.Campaign, 0, s.live+len(absent.list))
	numbers := map[string]int{} // of texts, by key
	texts := make([][]C.int32_t, len(segments))
	runs := make([][]C.bank_run, len(segments))
	size := room[C.bank_part](len(segments))
	for i, g := range segments {
		texts[i] = s.number(g, numbers)
		s.longest = max(s.longest, g.longest)
		if i >= len(priors) {
			runs[i] = s.serve(&parts[i-len(priors)])
		}
		size += room[C.int32_t](len(texts[i])) + room[C.bank_run](len(runs[i]))
	}
	for _, a := range absent.list {
		s.campaigns = append(s.campaigns, a.campaign)
	}
	if len(absent.list) > 0 {
		s.asks = make(asks, len(s.campaigns))
	}
	var err error
	if s.block, err = newBlock(&b.account, size); err != nil {
		return nil, err
	}
	all := take[C.bank_part](s.block, len(segments))
	for i, g := range segments {
		which, run := take[C.int32_t](s.block, len(texts[i])), take[C.bank_run](s.block, len(runs[i]))
		copy(which, texts[i])
		copy(run, runs[i])
		all[i] = C.bank_part{segment: g.c, texts: unsafe.SliceData(which), runs: unsafe.SliceData(run), run_count: C.int64_t(len(run))}
		g.hold()
	}
	s.cPriors, s.cParts = all[:len(priors)], all[len(priors):]
	s.refs.Start()
	return s, nil
}

// number returns which text each feature of a segment reads, and numbers new ones and their fields.
func (s *state) number(g *segment, numbers map[string]int) []C.int32_t {
	which := make([]C.int32_t, len(g.features))
	for i, f := range g.features {
		n, known := numbers[f.key]
		if !known {
			n = len(s.texts)
			numbers[f.key] = n
			var fields []int
			for _, name := range f.of {
				if _, known := s.fields[name]; !known {
					s.fields[name] = len(s.fields)
				}
				fields = append(fields, s.fields[name])
			}
			s.texts = append(s.texts, fields)
		}
		which[i] = C.int32_t(n)
	}
	return which
}

// serve lists a part's campaigns, and the runs of its rows.
func (s *state) serve(p *part) (runs []C.bank_run) {
	p.from = len(s.campaigns)
	var last uint64
	prior := C.int32_t(-1)
	for row, c := range p.segment.campaigns {
		if p.dead.has(row) {
			continue
		}
		if c.Prior != last {
			last, prior = c.Prior, C.int32_t(slices.IndexFunc(s.priors, func(g *segment) bool { return g.version() == c.Prior }))
		}
		at := C.int32_t(row)
		if n := len(runs); n > 0 && runs[n-1].to == at && runs[n-1].prior == prior {
			runs[n-1].to++
		} else {
			runs = append(runs, C.bank_run{from: at, to: at + 1, prior: prior})
		}
		s.campaigns = append(s.campaigns, c)
	}
	return runs
}

// version is a prior's.
func (g *segment) version() uint64 { return g.campaigns[0].Version }

// acquire holds the state, unless nobody does any more.
func (s *state) acquire() bool { return s.refs.Acquire() }

// Release implements score.View.
func (s *state) Release() {
	if s.refs.Release() {
		go s.free() // unmapping takes long, and the last to release may be serving
	}
}

func (s *state) free() {
	for _, g := range s.priors {
		g.release()
	}
	for _, p := range s.parts {
		p.segment.release()
	}
	s.block.free(&s.bank.account)
}

// Campaigns implements score.View.
func (s *state) Campaigns() []score.Campaign { return s.campaigns }

// Index implements score.View.
func (s *state) Index(campaign string) (int, bool) {
	for i := range s.parts {
		p := &s.parts[i]
		row, has := p.segment.index[campaign]
		if !has || p.dead.has(row) {
			continue
		}
		at := p.from + row
		if p.dead != nil { // less those before it that do not serve
			at -= p.dead[:row/64].count() + bits.OnesCount64(p.dead[row/64]&(1<<(row%64)-1))
		}
		return at, true
	}
	at, is := s.absent.index[campaign]
	return s.live + at, is
}

// scratch is what a score needs besides the state.
type scratch struct {
	values []string // by field
	bytes  []byte
	texts  []C.bank_text
	priors []C.double
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// read writes the profile's texts to the scratch.
func (s *state) read(p score.Profile, k *scratch) {
	k.values = resized(k.values, len(s.fields))
	k.texts = resized(k.texts, len(s.texts))
	k.priors = resized(k.priors, len(s.priors)+1)
	k.bytes = append(k.bytes[:0], 0) // so that there is always a first byte
	for i := range p {
		if n, known := s.fields[p[i].Name]; known {
			k.values[n] = p[i].Value
		}
	}
	for i, fields := range s.texts {
		length := len(fields) - 1
		for _, n := range fields {
			length += len(k.values[n])
		}
		k.texts[i] = C.bank_text{from: C.uint32_t(len(k.bytes)), length: C.uint32_t(length)}
		if length > s.longest {
			k.texts[i].length = C.BANK_UNKNOWN
			continue
		}
		for j, n := range fields {
			if j > 0 {
				k.bytes = append(k.bytes, classifiers.Separator...)
			}
			k.bytes = append(k.bytes, k.values[n]...)
		}
	}
	clear(k.values) // a later profile may lack the field, and texts of this one must not live on
}

func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Score implements score.View. It takes some ten microseconds for thousands of campaigns, so it looks at the deadline once, before
// it begins. It allocates nothing.
func (s *state) Score(ctx context.Context, p score.Profile, asked []int32, logits []float64) (score.Partial, error) {
	if len(logits) != len(s.campaigns) {
		return "", fmt.Errorf("bank: cannot write %d logits of %d campaigns", len(logits), len(s.campaigns))
	}
	if ctx.Err() != nil {
		for i := range logits {
			logits[i] = math.NaN()
		}
		return score.Deadline, nil
	}
	if len(logits) == 0 {
		return "", nil
	}
	s.score(p, logits)
	return s.miss(asked, logits[s.live:]), nil
}

// score writes the logits of all rows.
func (s *state) score(p score.Profile, logits []float64) {
	k := scratches.Get().(*scratch)
	s.read(p, k)
	s.run(s.cPriors, s.cParts, k, unsafe.SliceData(logits))
	scratches.Put(k)
}

// miss counts what a request asks for, and sets the logits of the absent.
func (s *state) miss(asked []int32, logits []float64) score.Partial {
	if s.bank.bound == nil {
		return ""
	}
	for i := range logits {
		logits[i] = math.NaN()
	}
	all, missed := len(asked), 0
	if asked == nil {
		all, missed = len(s.campaigns), len(logits)
	} else if len(logits) > 0 {
		for _, i := range asked {
			if int(i) >= s.live {
				missed++
			}
		}
	}
	if s.asks != nil {
		s.asks.count(asked)
	}
	s.bank.metrics.hits.Add(float64(all - missed))
	if missed == 0 {
		return ""
	}
	s.bank.metrics.misses.Add(float64(missed))
	s.bank.missed()
	return score.Memory
}

// Prior implements score.View.
func (s *state) Prior(p score.Profile) (logit float64, version uint64) {
	if len(s.priors) == 0 {
		return 0, 0
	}
	k := scratches.Get().(*scratch)
	s.read(p, k)
	newest := len(s.priors) - 1
	s.run(s.cPriors[newest:], nil, k, nil)
	logit = float64(k.priors[0])
	scratches.Put(k)
	return logit, s.priors[newest].version()
}

func (s *state) run(priors, parts []C.bank_part, k *scratch, logits *float64) {
	C.bank_score(C.uint64_t(s.bank.seed), unsafe.SliceData(priors), C.int32_t(len(priors)), unsafe.SliceData(parts), C.int32_t(len(parts)),
		(*C.uint8_t)(unsafe.SliceData(k.bytes)), unsafe.SliceData(k.texts), C.int32_t(len(s.texts)), unsafe.SliceData(k.priors), (*C.double)(logits))
}
