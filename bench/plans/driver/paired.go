package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
)

// What a part of the engine gives is less than what two processes differ by. So all variants of a fleet are in one process, and
// take turns after some dozen calls: each gets the same model and the same rows, in an order that is drawn anew. A variant that
// compiles a model as the first variant does is not asked that model.

func init() {
	commands["paired"] = command{"calls with one row, by the fleet's variants in turns", paired}
}

// pairedRequest asks for so many bursts. In a burst each variant is called so often.
type pairedRequest struct {
	Bursts int    `json:"bursts"`
	Calls  int    `json:"calls"`
	Seed   uint64 `json:"seed"`
}

// pairedAnswer has a line for each variant.
type pairedAnswer struct {
	Variants []*pairs `json:"variants"`
}

// pairs are the bursts of a variant. Ratios are its times by those of the first variant, within a burst.
type pairs struct {
	Name   string  `json:"name"`
	Models int     `json:"models"` // that it compiles in another way than the first variant
	Bursts int     `json:"bursts"`
	RowUS  float64 `json:"row_us"`      // the mean
	BaseUS float64 `json:"base_row_us"` // of the first variant, in the same bursts
	Ratio  float64 `json:"ratio"`       // the median
	Low    float64 `json:"low"`         // a quarter of the ratios is below it
	High   float64 `json:"high"`        // a quarter is above it
}

// contender is a loaded variant.
type contender struct {
	variant
	models []*asked
	asks   []bool // of each model
	took   time.Duration
	base   time.Duration
	ratios []float64
}

// warmCalls bring a contender's parameters into the processor's caches before the clock starts.
const warmCalls = 4

func paired(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	if len(f.Variants) < 2 {
		return fmt.Errorf("the fleet has %d variants; two are the least to compare", len(f.Variants))
	}
	all := make([]*contender, len(f.Variants))
	for i, v := range f.Variants {
		loaded, err := f.loadWith(v.Options, plan.NewObjects(filepath.Join(f.Store, models.ObjectsDir)), 1)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		defer closeAll(loaded)
		all[i] = &contender{variant: v, models: loaded, asks: make([]bool, len(loaded))}
		for k, a := range loaded {
			// Fresh batches, and the first variant's equal, are of the same stages.
			all[i].asks[k] = v.Fresh || v.Options == f.Variants[0].Options || compiled(a) != compiled(all[0].models[k])
		}
	}
	for {
		var r pairedRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := timePaired(all, r)
		if err != nil {
			return err
		}
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

// compiled says what the engine made of a model.
func compiled(a *asked) string {
	d := a.servable.Engine().(*plan.Engine).Describe()
	text := fmt.Sprint(d.Gives)
	for _, s := range d.Stages {
		text += fmt.Sprint(s.Op, s.How, s.Reads, s.Value, s.Form)
	}
	return text
}

func timePaired(all []*contender, r pairedRequest) (*pairedAnswer, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, c := range all {
		c.took, c.base, c.ratios = 0, 0, c.ratios[:0]
	}
	random := rand.New(rand.NewPCG(r.Seed, 5))
	order := slices.Clone(all)
	rows, took := make([]int, r.Calls), map[*contender]time.Duration{}
	for range r.Bursts {
		k := random.IntN(len(all[0].models))
		for i := range rows {
			rows[i] = random.IntN(all[0].models[k].rows.Rows)
		}
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		clear(took)
		for _, c := range order {
			if !c.asks[k] {
				continue
			}
			spent, err := c.burst(k, rows)
			if err != nil {
				return nil, err
			}
			took[c] = spent
		}
		for c, spent := range took {
			c.took, c.base = c.took+spent, c.base+took[all[0]]
			c.ratios = append(c.ratios, float64(spent)/float64(took[all[0]]))
		}
	}
	found := &pairedAnswer{}
	for _, c := range all {
		p := &pairs{Name: c.Name, Bursts: len(c.ratios)}
		for _, asks := range c.asks {
			if asks {
				p.Models++
			}
		}
		if n := len(c.ratios); n > 0 {
			slices.Sort(c.ratios)
			p.Ratio, p.Low, p.High = c.ratios[n/2], c.ratios[n/4], c.ratios[n*3/4]
			p.RowUS, p.BaseUS = us(c.took)/float64(n*r.Calls), us(c.base)/float64(n*r.Calls)
		}
		found.Variants = append(found.Variants, p)
	}
	return found, nil
}

// burst calls model k with each of the rows, and returns what that took.
func (c *contender) burst(k int, rows []int) (time.Duration, error) {
	a := c.models[k]
	b, err := a.batch(1)
	if err != nil {
		return 0, err
	}
	call := func(row int) error {
		b := b
		if c.Fresh {
			if b, err = a.servable.Engine().NewBatch(1); err != nil {
				return err
			}
			defer b.Close()
		}
		engine.CopyRow(b.Inputs(), 0, a.rows.Columns, row)
		if err := b.Run(1); err != nil && !refusal(err) {
			return err
		}
		return nil
	}
	for _, row := range rows[:min(warmCalls, len(rows))] {
		if err := call(row); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	for _, row := range rows {
		if err := call(row); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}
