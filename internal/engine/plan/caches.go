package plan

// #include "runtime.h"
import "C"

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
)

// Caches of results across runs. Both are off unless Options say how large they are; all plans of the same Objects share them. A
// result is found by what was computed, and by all bytes of the row that it was computed from.
//
//	stages  the n-grams of a text, and what is computed of them alone: for models that share dictionaries, asked the same texts
//	rows    all outputs of a row: for one model that is asked the same rows

// cached are the operators whose results are worth keeping: a lookup costs about as much as another operator.
var cached = []string{"ngrams", "hashing"}

// caches are a process's; NULL where they are off.
type caches struct {
	mu           sync.Mutex // guards all
	users        int        // plans
	stages, rows *C.gv_cache
	ofStages     int64 // bytes, as the first plan's options have them
	ofRows       int64
}

// take returns the caches, which it makes if no plan is loaded. Each take needs a release.
func (c *caches) take(o Options) (stages, rows *C.gv_cache, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == 0 {
		c.ofStages, c.ofRows = o.StageCache, o.RowCache
		c.stages, c.rows = newCache(o.StageCache), newCache(o.RowCache)
		if c.stages == nil && o.StageCache > 0 || c.rows == nil && o.RowCache > 0 {
			c.free()
			return nil, nil, errNoMemory
		}
	}
	if c.ofStages != o.StageCache || c.ofRows != o.RowCache {
		return nil, nil, errors.New("plan: plans of the same objects were loaded with caches of other sizes")
	}
	c.users++
	return c.stages, c.rows, nil
}

func newCache(bytes int64) *C.gv_cache {
	if bytes <= 0 {
		return nil
	}
	return C.gv_cache_new(C.int64_t(bytes), C.uint64_t(rand.Uint64()), C.uint64_t(rand.Uint64()))
}

// release ends one take. No program that has the caches runs any more.
func (c *caches) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 {
		c.free()
	}
}

func (c *caches) free() {
	C.gv_cache_free(c.stages)
	C.gv_cache_free(c.rows)
	c.stages, c.rows = nil, nil
}

// CacheUse is what a cache has done and holds.
type CacheUse struct {
	Hits, Misses, Evictions uint64
	Entries, Bytes, Limit   int64
}

// CacheUses are those of the stages' results and of whole rows, since a plan was first loaded; zeros where they are off.
func (s *Objects) CacheUses() (stages, rows CacheUse) {
	c := &s.caches
	c.mu.Lock()
	defer c.mu.Unlock()
	use := func(of *C.gv_cache, limit int64) CacheUse {
		if of == nil {
			return CacheUse{}
		}
		n := C.gv_cache_count(of)
		return CacheUse{
			Hits: uint64(n.hits), Misses: uint64(n.misses), Evictions: uint64(n.evictions), Entries: int64(n.entries), Bytes: int64(n.bytes), Limit: limit,
		}
	}
	return use(c.stages, c.ofStages), use(c.rows, c.ofRows)
}

// chain is a stage that a cache keeps, with all that it needs and nobody else does.
type chain struct {
	steps  []int // ascending; the last is the stage
	inputs []int
}

// chains finds the stages to keep: those of cached operators, or what a row of operators that read only one another makes of them, up
// to a model. It returns the steps within chains too.
func (g *checked) chains() (found []chain, within map[int]bool) {
	readers := g.readers()
	for i, s := range g.steps {
		if slices.Contains(cached, s.op) {
			found = append(found, g.closure(g.chainEnd(i, readers)))
		}
	}
	for { // a step that another one needs too cannot be left to a chain
		within = map[int]bool{}
		for _, c := range found {
			for _, i := range c.steps[:len(c.steps)-1] {
				within[i] = true
			}
		}
		ends := map[int]bool{}
		for _, c := range found {
			ends[c.steps[len(c.steps)-1]] = true
		}
		before := len(found)
		found = slices.DeleteFunc(found, func(c chain) bool {
			return slices.ContainsFunc(c.steps[:len(c.steps)-1], func(i int) bool {
				return slices.ContainsFunc(readers[i], func(r int) bool { return r < 0 || !within[r] && !ends[r] })
			})
		})
		if len(found) == before {
			return found, within
		}
	}
}

// readers are the steps that read each step's value, once for each time; −1 for an output.
func (g *checked) readers() [][]int {
	inputs := len(g.inputs)
	readers := make([][]int, len(g.steps))
	for i, s := range g.steps {
		for _, from := range s.reads {
			if from >= inputs {
				readers[from-inputs] = append(readers[from-inputs], i)
			}
		}
	}
	for _, v := range g.gives {
		if v >= inputs {
			readers[v-inputs] = append(readers[v-inputs], -1)
		}
	}
	return readers
}

// chainEnd follows step i as long as one step alone reads it, which reads nothing else and is sparse too.
func (g *checked) chainEnd(i int, readers [][]int) int {
	for len(readers[i]) == 1 && readers[i][0] >= 0 {
		next := readers[i][0]
		if s := g.steps[next]; len(s.reads) > 1 || !s.kind.sparse {
			break
		}
		i = next
	}
	return i
}

// closure is a step with all that it needs.
func (g *checked) closure(end int) chain {
	inputs := len(g.inputs)
	needed := make([]bool, inputs+end+1)
	needed[inputs+end] = true
	c := chain{}
	for v := inputs + end; v >= 0; v-- {
		switch {
		case !needed[v]:
		case v < inputs:
			c.inputs = append(c.inputs, v)
		default:
			c.steps = append(c.steps, v-inputs)
			for _, from := range g.steps[v-inputs].reads {
				needed[from] = true
			}
		}
	}
	slices.Reverse(c.steps)
	slices.Reverse(c.inputs)
	return c
}
