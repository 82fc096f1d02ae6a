package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
	"gavel/internal/features"
	"gavel/internal/recipe"
)

// examplesCmd writes what a trainer would learn from, without a bidder: the auctions are held in this process.
type examplesCmd struct {
	Config    string   `type:"existingfile" help:"YAML file; see docs/replay.md for every key."`
	Recipe    string   `required:"" type:"existingfile" help:"Recipe whose features and label the examples have."`
	Campaigns string   `required:"" type:"existingfile" help:"Campaign file of those who bid."`
	Out       string   `required:"" help:"Directory of the files; made if absent."`
	Rows      int      `default:"400000" help:"Examples to write at most."`
	Rate      *float64 `help:"Auctions a second of simulated time."`
	Seed      *uint64  `help:"Seed of everything random."`
	Data      string   `help:"File or directory of a log to take in place of the simulated traffic." placeholder:"DIR"`
	Set       string   `default:"auto" help:"Of --data: ${sets}, or auto."`
}

// examplesStart is when traffic without a start of its own begins, so that the same seed gives the same examples.
var examplesStart = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// run holds auctions until Rows examples are written or the source ends. The files in Out are NumPy's: x.npy, int32
// (n, F); label.npy and truth.npy, float32 and float64 (n): what happened, and its hidden probability (NaN where a log
// knows none); time_ms.npy, int64 (n). out gets one JSON line.
func (x *examplesCmd) run(ctx context.Context, out io.Writer) error {
	c := defaults()
	f := common{Config: x.Config, Rate: x.Rate, Seed: x.Seed}
	if x.Data != "" {
		c.Exchange, c.RenderShare = "replay", 1
	}
	if err := f.apply(&c); err != nil {
		return err
	}
	if x.Rows < 1 {
		return badConfig{fmt.Errorf("--rows: %d is below 1", x.Rows)}
	}
	if c.Start.IsZero() {
		c.Start = examplesStart
	}
	if c.Rate == 0 {
		return badConfig{errors.New("--rate: examples need auctions a second above 0")}
	}
	r, err := recipe.Load(x.Recipe)
	if err != nil {
		return badConfig{err}
	}
	set, err := campaigns.Load(x.Campaigns, auction.SetOptions{LocalHour: features.LocalHourOfWeek})
	if err != nil {
		return badConfig{err}
	}
	source, _, clicks, conversions, done, err := world(&c, x.Data, x.Set)
	if err != nil {
		return err
	}
	defer done()
	m, err := newMarket(&c, set, clicks, conversions, x.Data != "")
	if err != nil {
		return err
	}
	files, err := newExampleFiles(x.Out, r.Encoder().RowLen())
	if err != nil {
		return badConfig{err}
	}
	err = m.write(ctx, source, r, files, x.Rows)
	if err = errors.Join(err, files.close()); err != nil {
		return fmt.Errorf("cannot write examples: %w", err)
	}
	return json.NewEncoder(out).Encode(map[string]any{"examples": files.rows, "auctions": m.auctions, "wins": m.wins, "seed": c.Seed})
}

// exampleFiles are the columns on disk.
type exampleFiles struct {
	x, label, truth, time *npyFile
	rows                  int
}

func newExampleFiles(dir string, rowLen int) (*exampleFiles, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make --out: %w", err)
	}
	f := &exampleFiles{}
	for _, column := range []struct {
		to          **npyFile
		name, dtype string
		width       int
	}{{&f.x, "x", "<i4", rowLen}, {&f.label, "label", "<f4", 0}, {&f.truth, "truth", "<f8", 0}, {&f.time, "time_ms", "<i8", 0}} {
		var err error
		if *column.to, err = createNPY(filepath.Join(dir, column.name+".npy"), column.dtype, column.width); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *exampleFiles) add(row []int32, label float32, truth float64, at time.Time) error {
	f.rows++
	return errors.Join(f.x.write(row), f.label.write(label), f.truth.write(truth), f.time.write(at.UnixMilli()))
}

func (f *exampleFiles) close() error {
	return errors.Join(f.x.close(f.rows), f.label.close(f.rows), f.truth.close(f.rows), f.time.close(f.rows))
}
