package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gavel/internal/engine"
)

func init() {
	commands["joined"] = command{"a row scored by all models in one run, against a call for each", joined}
}

// joinedRequest is a round of rows, each scored by all models together and then by each alone.
type joinedRequest struct {
	Rows int    `json:"rows"`
	Seed uint64 `json:"seed"`
}

// joinedAnswer tells times of one model and one row.
type joinedAnswer struct {
	Models   int     `json:"models"`
	AloneUS  float64 `json:"alone_us"`       // the mean
	TogethUS float64 `json:"together_us"`    // the mean
	Ratio    float64 `json:"ratio"`          // the median of the rows' ratios
	JoinMS   float64 `json:"join_ms"`        // what joining took
	Differ   int     `json:"outputs_differ"` // in any bit
}

func joined(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	all, err := f.load(1)
	if err != nil {
		return err
	}
	defer closeAll(all)
	var members []engine.Member
	for _, a := range all {
		members = append(members, engine.Member{Name: a.Name, Engine: a.servable.Engine()})
	}
	began := time.Now()
	e, err := engine.Join(members)
	if err != nil {
		return err
	}
	took := time.Since(began)
	defer e.Close()
	b, err := e.NewBatch(1)
	if err != nil {
		return err
	}
	defer b.Close()
	for {
		var r joinedRequest
		if more, err := l.next(&r); !more {
			return err
		}
		found, err := timeJoined(all, e, b, r)
		if err != nil {
			return err
		}
		found.JoinMS = us(took) / 1e3
		if err := l.answer(found); err != nil {
			return err
		}
	}
}

func timeJoined(all []*asked, e engine.Joined, b engine.Batch, r joinedRequest) (*joinedAnswer, error) {
	random := rand.New(rand.NewPCG(r.Seed, 3))
	found := &joinedAnswer{Models: len(all)}
	var alone, together time.Duration
	var ratios []float64
	for range r.Rows {
		row := random.IntN(all[0].rows.Rows)
		from := time.Now()
		for i, part := range e.Parts() {
			for k, to := range part.Inputs {
				engine.CopyRow(b.Inputs()[to:to+1], 0, all[i].rows.Columns[k:k+1], row%all[i].rows.Rows)
			}
		}
		if err := b.Run(1); err != nil && !refusal(err) {
			return nil, err
		}
		one := time.Since(from)
		from = time.Now()
		for _, a := range all {
			own, err := a.batch(1)
			if err != nil {
				return nil, err
			}
			engine.CopyRow(own.Inputs(), 0, a.rows.Columns, row%a.rows.Rows)
			if err := own.Run(1); err != nil && !refusal(err) {
				return nil, err
			}
		}
		each := time.Since(from)
		alone, together, ratios = alone+each, together+one, append(ratios, float64(each)/float64(one))
		for i, part := range e.Parts() {
			for k, c := range all[i].batches[1].Outputs() {
				if fmt.Sprint(c) != fmt.Sprint(b.Outputs()[part.Outputs.From+k]) {
					found.Differ++
				}
			}
		}
	}
	slices.Sort(ratios)
	n := float64(r.Rows * len(all))
	found.AloneUS, found.TogethUS, found.Ratio = us(alone)/n, us(together)/n, ratios[len(ratios)/2]
	return found, nil
}
