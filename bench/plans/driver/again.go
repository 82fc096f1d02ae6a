package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"gavel/internal/engine"
)

func init() {
	commands["again"] = command{"calls with texts of which a share was asked before, for caches", again}
}

// againRequest is a round of calls, each with one row of a random model. Of a hundred rows, Again were asked before, by the same or
// another model; the others are new: a text with a number behind it.
type againRequest struct {
	Calls int    `json:"calls"`
	Again int    `json:"again"`
	Seed  uint64 `json:"seed"`
}

// knownRows is how many rows are asked again.
const knownRows = 200

func again(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	all, err := f.load(1)
	if err != nil {
		return err
	}
	defer closeAll(all)
	fresh := 0
	for {
		var r againRequest
		if more, err := l.next(&r); !more {
			return err
		}
		random := rand.New(rand.NewPCG(r.Seed, 4))
		call := func(a *asked, known bool) (time.Duration, error) {
			b, err := a.batch(1)
			if err != nil {
				return 0, err
			}
			engine.CopyRow(b.Inputs(), 0, a.rows.Columns, random.IntN(min(knownRows, a.rows.Rows)))
			if text := b.Inputs()[0].Text; !known && len(text) > 0 {
				fresh++
				text[0] = fmt.Sprint(text[0], " ", fresh)
			}
			from := time.Now()
			if err := b.Run(1); err != nil && !refusal(err) {
				return 0, err
			}
			return time.Since(from), nil
		}
		for _, a := range all { // all known rows of all models, so that those asked again are there
			for range 3 * knownRows {
				if _, err := call(a, true); err != nil {
					return err
				}
			}
		}
		took := make([]time.Duration, r.Calls)
		var whole time.Duration
		for i := range took {
			if took[i], err = call(all[random.IntN(len(all))], random.IntN(100) < r.Again); err != nil {
				return err
			}
			whole += took[i]
		}
		found := percentiles(took)
		found.RowUS = us(whole) / float64(r.Calls)
		if err := l.answer(found); err != nil {
			return err
		}
	}
}
