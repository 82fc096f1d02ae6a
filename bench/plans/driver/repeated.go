package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
)

func init() {
	commands["repeated"] = command{"rows that repeat by Zipf's law, by the fleet's variants in turns, for caches", repeated}
}

// repeatedRequest is a round of calls, each with one row of a random model. Of `rows` different rows, the k-th is asked in proportion
// to 1/k^zipf. As many calls go before, which are not measured. The rows of each seed are others. Calls count in turns of turnCalls.
type repeatedRequest struct {
	Rows  int     `json:"rows"`
	Zipf  float64 `json:"zipf"`
	Calls int     `json:"calls"`
	Seed  int     `json:"seed"`
}

// repeatedAnswer has a line for each variant.
type repeatedAnswer struct {
	Variants []cacheRound `json:"variants"`
}

// cacheRound tells what a variant took, and how many of the lookups in its cache were hits; 0 if it has none.
type cacheRound struct {
	Name  string  `json:"name"`
	RowUS float64 `json:"row_us"` // the mean
	Hits  float64 `json:"hits"`   // the share
}

// cachedVariant is a variant whose cache is its own.
type cachedVariant struct {
	variant
	models  []*asked
	objects *plan.Objects
	took    time.Duration
	before  plan.CacheUse
}

// turnCalls is how many calls a variant makes before it is the next one's turn.
const turnCalls = 500

func repeated(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	var all []*cachedVariant
	for _, v := range f.Variants {
		c := &cachedVariant{variant: v, objects: plan.NewObjects(filepath.Join(f.Store, models.ObjectsDir))}
		if c.models, err = f.loadWith(v.Options, c.objects, 1); err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		defer closeAll(c.models)
		all = append(all, c)
	}
	for {
		var r repeatedRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := timeRepeated(all, len(f.Models), r)
		if err != nil {
			return err
		}
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

func timeRepeated(all []*cachedVariant, models int, r repeatedRequest) (*repeatedAnswer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	random := rand.New(rand.NewPCG(uint64(r.Seed), 6))
	draw := zipfian(r.Rows, r.Zipf)
	type ask struct{ model, row int }
	turn := make([]ask, turnCalls)
	turns := max(1, r.Calls/turnCalls)
	for at := range 2 * turns {
		if at == turns {
			for _, c := range all {
				c.took, c.before = 0, c.use()
			}
		}
		for i := range turn {
			turn[i] = ask{random.IntN(models), draw(random) + r.Seed*r.Rows}
		}
		for _, k := range random.Perm(len(all)) {
			c := all[k]
			for _, next := range turn {
				took, err := c.models[next.model].askRow(next.row)
				if err != nil {
					return nil, err
				}
				c.took += took
			}
		}
	}
	found := &repeatedAnswer{}
	for _, c := range all {
		round := cacheRound{Name: c.Name, RowUS: us(c.took) / float64(turns*turnCalls)}
		now := c.use()
		if lookups := now.Hits - c.before.Hits + now.Misses - c.before.Misses; lookups > 0 {
			round.Hits = float64(now.Hits-c.before.Hits) / float64(lookups)
		}
		found.Variants = append(found.Variants, round)
	}
	return found, nil
}

// use sums what the variant's caches have done; one is on at most.
func (c *cachedVariant) use() plan.CacheUse {
	stages, rows := c.objects.CacheUses()
	return plan.CacheUse{Hits: stages.Hits + rows.Hits, Misses: stages.Misses + rows.Misses}
}

// zipfian returns what draws numbers below n, the k-th (from 1) in proportion to 1/k^s.
func zipfian(n int, s float64) func(*rand.Rand) int {
	sums := make([]float64, n)
	sum := 0.0
	for k := range sums {
		sum += math.Pow(float64(k+1), -s)
		sums[k] = sum
	}
	return func(random *rand.Rand) int {
		return min(sort.SearchFloat64s(sums, random.Float64()*sum), n-1)
	}
}

// askRow scores row i of endlessly many: the model's rows, and then the same ones again with something changed. The time is that of
// the run alone.
func (a *asked) askRow(i int) (time.Duration, error) {
	b, err := a.batch(1)
	if err != nil {
		return 0, err
	}
	inputs, pass := b.Inputs(), i/a.rows.Rows
	engine.CopyRow(inputs, 0, a.rows.Columns, i%a.rows.Rows)
	if pass > 0 {
		a.change(inputs, i, pass)
	}
	began := time.Now()
	if err := b.Run(1); err != nil && !refusal(err) {
		return 0, err
	}
	return time.Since(began), nil
}

// change makes another row of row i: a text gets a number behind it, a number some more, and of indices every second one is that of
// another row.
func (a *asked) change(inputs []engine.Column, i, pass int) {
	for k, c := range inputs {
		switch c.Type {
		case engine.Text:
			if len(inputs) == 1 {
				c.Text[0] += " " + strconv.Itoa(pass)
				return
			}
		case engine.Float64:
			c.Float64[0] += float64(pass) / 1024
			return
		case engine.Int32:
			from := (i + pass*7919) % a.rows.Rows * c.Width
			for j := 0; j < c.Width; j += 2 {
				c.Int32[j] = a.rows.Columns[k].Int32[from+j]
			}
			return
		}
	}
}
