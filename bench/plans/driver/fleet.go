package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"gavel/internal/columns"
	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
)

// fleet is the file that a subcommand is given: models, and rows to ask them.
type fleet struct {
	Store  string            `json:"store"`  // a directory: <store>/<model>/1, <store>/objects
	Models []member          `json:"models"` // in the order of loading
	Tables map[string]string `json:"tables"` // files of rows by name, as package columns reads them
	// Apart gives each model objects of its own, <store>/<model>/objects: the object store is switched off.
	Apart    bool      `json:"apart"`
	Options  settings  `json:"options"`
	Variants []variant `json:"variants"` // for subcommands that compare settings in one process; the first is what others are compared with
}

// member is a model of a fleet.
type member struct {
	Name  string `json:"name"`
	Table string `json:"table"` // the rows that it is asked
}

// settings switch parts of the plan engine off, or on.
type settings struct {
	AsWritten  bool   `json:"as_written"` // no rewrites
	Without    string `json:"without"`    // a rule of rewriting
	StageCache int64  `json:"stage_cache"`
	RowCache   int64  `json:"row_cache"`
	Lazily     bool   `json:"lazily"` // the pages of objects are given back after the load: calls map them
}

// variant is the engine with other settings.
type variant struct {
	Name    string   `json:"name"`
	Options settings `json:"options"`
	Fresh   bool     `json:"fresh"` // each call makes a batch, and closes it
}

// version is the version of every model in a fleet.
const version = 1

// readFleet reads the file that args name.
func readFleet(args []string) (*fleet, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("name one fleet; there are %d arguments", len(args))
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return nil, err
	}
	f := &fleet{}
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("%s is no fleet: %w", args[0], err)
	}
	return f, nil
}

// asked is a loaded model with the rows that it is asked. It keeps a batch for each number of rows that was needed.
type asked struct {
	member
	servable *models.Servable
	rows     columns.Table // the columns are the engine's inputs, in its order
	batches  map[int]engine.Batch
}

// load loads every model, as a bidder does: checksums, bounds, golden rows, a warm run of each size in warm. It loads as many at
// once as there are processors, as a bidder's models.GroupOptions.Loads would say.
func (f *fleet) load(warm ...int) ([]*asked, error) {
	return f.loadWith(f.Options, plan.NewObjects(filepath.Join(f.Store, models.ObjectsDir)), warm...)
}

// loadWith is load with settings and objects that the caller has.
func (f *fleet) loadWith(s settings, shared *plan.Objects, warm ...int) ([]*asked, error) {
	tables, err := f.tables()
	if err != nil {
		return nil, err
	}
	if rule := s.Without; rule != "" && !slices.Contains(plan.Rules(), rule) {
		return nil, fmt.Errorf("there is no rule %q; there are %q", rule, plan.Rules())
	}
	all, faults := make([]*asked, len(f.Models)), make([]error, len(f.Models))
	var loads sync.WaitGroup
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		loads.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				all[i], faults[i] = f.loadOne(f.Models[i], s, shared, tables, warm)
			}
		})
	}
	loads.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if s.Lazily {
		return all, giveBack(filepath.Join(f.Store, models.ObjectsDir))
	}
	return all, nil
}

func (f *fleet) loadOne(m member, s settings, objects *plan.Objects, tables map[string]columns.Table, warm []int) (*asked, error) {
	if f.Apart {
		objects = plan.NewObjects(filepath.Join(f.Store, m.Name, models.ObjectsDir))
	}
	options := plan.Options{AsWritten: s.AsWritten, Without: s.Without, StageCache: s.StageCache, RowCache: s.RowCache}
	loaders := engine.Loaders{plan.Format: plan.Loader(objects, options)}
	directory := filepath.Join(f.Store, m.Name, fmt.Sprint(version))
	servable, err := models.Load(context.Background(), loaders, directory, m.Name, version, models.LoadOptions{WarmRows: warm})
	if err != nil {
		return nil, err
	}
	a := &asked{member: m, servable: servable, batches: map[int]engine.Batch{}}
	if a.rows, err = arrange(tables[m.Table], servable.Engine().Schema().Inputs); err != nil {
		return nil, fmt.Errorf("%s cannot be asked the rows of %q: %w", m.Name, m.Table, err)
	}
	return a, nil
}

func (f *fleet) tables() (map[string]columns.Table, error) {
	tables := map[string]columns.Table{}
	for name, file := range f.Tables {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if tables[name], err = columns.Decode(data); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return tables, nil
}

// arrange picks the columns of the fields.
func arrange(t columns.Table, fields []engine.Field) (columns.Table, error) {
	picked := columns.Table{Fields: fields, Rows: t.Rows}
	for _, f := range fields {
		i := slices.Index(t.Fields, f)
		if i < 0 {
			return columns.Table{}, fmt.Errorf("it has no column %v", f)
		}
		picked.Columns = append(picked.Columns, t.Columns[i])
	}
	return picked, nil
}

// newColumn makes the memory of an output of n rows.
func newColumn(f engine.Field, n int) engine.Column {
	c := engine.Column{Type: f.Type, Width: f.Width}
	if f.Type == engine.Float32 {
		c.Float32 = make([]float32, n*f.Width)
	} else {
		c.Float64 = make([]float64, n*f.Width)
	}
	return c
}

// part is n rows of a column, from row at on. It is the same memory.
func part(c engine.Column, at, n int) engine.Column {
	from, to := at*c.Width, (at+n)*c.Width
	switch c.Type {
	case engine.Int32:
		c.Int32 = c.Int32[from:to]
	case engine.Float32:
		c.Float32 = c.Float32[from:to]
	case engine.Float64:
		c.Float64 = c.Float64[from:to]
	case engine.Text:
		c.Text = c.Text[from:to]
	}
	return c
}

// batch returns the model's batch for n rows.
func (a *asked) batch(n int) (engine.Batch, error) {
	if b := a.batches[n]; b != nil {
		return b, nil
	}
	b, err := a.servable.Engine().NewBatch(n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	a.batches[n] = b
	return b, nil
}

// ask scores n random rows. Rows that the model refuses are no error: the peers' time holds them too.
func (a *asked) ask(b engine.Batch, n int, random *rand.Rand) error {
	inputs := b.Inputs()
	for i := range n {
		engine.CopyRow(inputs, i, a.rows.Columns, random.IntN(a.rows.Rows))
	}
	return b.Run(n)
}

// close frees the models.
func closeAll(all []*asked) {
	for _, a := range all {
		for _, b := range a.batches {
			b.Close()
		}
		a.servable.Release()
	}
}
