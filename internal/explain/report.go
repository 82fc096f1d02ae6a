// Package explain shows why a plan is slow or large: the pipeline as written, the rules that rewrote it, what each stage costs on
// this machine, and which parameters are shared with whom.
//
//	store ──► Explain: load the version, and beside it the stable plans of the other models ──► Report ──► Text | SVG | HTML
package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
)

// Options say what to explain.
type Options struct {
	Store   models.Store
	Objects *plan.Objects // of the store
	Model   string
	Version int64 // 0: the stable one, or the newest where none is promoted
	Alone   bool  // load no other model: sharing is not shown
}

// Report is what is known of a loaded plan.
type Report struct {
	plan.Description
	Model   string
	Version int64
	Load    time.Duration // with checksums, golden rows and the first runs
	Costs   []Cost        // of each stage, in the order of Description.Stages
	Total   Cost
	Beside  int           // other models that were loaded
	Failed  []string      // those that could not be, and why
	Sharing []SharedStage // with other models, the most stages first
}

// Cost is CPU time in ns.
type Cost struct {
	One float64 // of a row that runs alone, the mean of manyRows
	Row float64 // of a row among manyRows
}

// SharedStage is how many stages another version shares.
type SharedStage struct {
	Version string
	Stages  int
}

// ErrNoPlan: the version has other formats only.
var ErrNoPlan = errors.New("explain: only plans can be explained; a recipe's `export: [savedmodel, plan]` adds one, `pytrain port` makes one of a version")

const (
	manyRows   = 64
	oneRounds  = 100
	manyRounds = 200
	maxBeside  = 1000 // models that are loaded to see what is shared
)

// Explain loads a version's plan and measures it. The errors are those of models.Load; ErrNoModel if there is no version of the
// model, ErrNoPlan if this one has no plan.
func Explain(ctx context.Context, o Options) (*Report, error) {
	version, err := o.Version, models.CheckModel(o.Model)
	if err == nil && version == 0 {
		version, err = chosen(ctx, o.Store, o.Model)
	} else if err == nil {
		_, err = newest(ctx, o.Store, o.Model)
	}
	if err != nil {
		return nil, err
	}
	began := time.Now()
	s, err := load(ctx, o, o.Model, version)
	if err != nil {
		return nil, err
	}
	defer s.Release()
	r := &Report{Model: o.Model, Version: version, Load: time.Since(began)}
	if !o.Alone {
		defer r.loadOthers(ctx, o)()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := s.Engine().(*plan.Engine)
	r.Description = *e.Describe()
	r.share()
	return r, r.measure(e)
}

// ErrNoModel: the store has no version of such a model.
var ErrNoModel = errors.New("explain: no such model")

// chosen is a model's stable version, or its newest. ErrNoModel if it has none.
func chosen(ctx context.Context, store models.Store, model string) (int64, error) {
	p, _, err := store.Pointer(ctx, model)
	if !errors.Is(err, models.ErrNoPointer) {
		return p.Stable, err
	}
	return newest(ctx, store, model)
}

// newest is a model's newest version. ErrNoModel if it has none.
func newest(ctx context.Context, store models.Store, model string) (int64, error) {
	versions, err := store.Versions(ctx, model)
	if err != nil {
		return 0, err
	}
	if len(versions) == 0 {
		return 0, fmt.Errorf("%w: %s in %s (bidder models list shows what there is)", ErrNoModel, model, store)
	}
	return versions[len(versions)-1], nil
}

func load(ctx context.Context, o Options, model string, version int64) (*models.Servable, error) {
	files, err := o.Store.Fetch(ctx, model, version)
	if err != nil {
		return nil, err
	}
	defer files.Release() // a plan keeps objects alone
	m, err := models.ReadManifest(files.Dir)
	if err != nil {
		return nil, err
	}
	if !m.Has(plan.Format) {
		return nil, fmt.Errorf("%w: %s version %d has %s", ErrNoPlan, model, version, strings.Join(m.Formats, ", "))
	}
	loaders := engine.Loaders{plan.Format: plan.Loader(o.Objects, plan.Options{})}
	return models.Load(ctx, loaders, files.Dir, model, version, models.LoadOptions{Format: plan.Format, WarmRows: []int{1}})
}

// loadOthers loads a plan of each other model, and returns what releases them.
func (r *Report) loadOthers(ctx context.Context, o Options) (release func()) {
	var loaded []*models.Servable
	release = func() {
		for _, s := range loaded {
			s.Release()
		}
	}
	names, err := o.Store.Models(ctx)
	if err != nil {
		r.Failed = append(r.Failed, err.Error())
	}
	for _, name := range names {
		if name == o.Model || r.Beside == maxBeside || ctx.Err() != nil {
			continue
		}
		var s *models.Servable
		version, err := chosen(ctx, o.Store, name)
		if err == nil {
			s, err = load(ctx, o, name, version)
		}
		switch {
		case err == nil:
			loaded = append(loaded, s)
			r.Beside++
		case !errors.Is(err, ErrNoPlan): // else it shares nothing
			r.Failed = append(r.Failed, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return release
}

func (r *Report) share() {
	for version, stages := range r.SharedBy() {
		r.Sharing = append(r.Sharing, SharedStage{version, stages})
	}
	slices.SortFunc(r.Sharing, func(a, b SharedStage) int {
		return cmp.Or(cmp.Compare(b.Stages, a.Stages), cmp.Compare(a.Version, b.Version))
	})
}

// measure runs golden rows: each alone, then all at once.
func (r *Report) measure(e *plan.Engine) error {
	b, err := e.NewBatch(manyRows)
	if err != nil {
		return err
	}
	defer b.Close()
	golden := e.Samples()
	r.Costs = make([]Cost, len(r.Stages))
	for row := range manyRows {
		engine.CopyRow(b.Inputs(), 0, golden.Columns, row%golden.Rows)
		took, err := b.(*plan.Batch).Profile(1, oneRounds)
		if err != nil {
			return err
		}
		for i, d := range took {
			r.Costs[i].One += float64(d.Nanoseconds()) / manyRows
		}
	}
	for row := range manyRows {
		engine.CopyRow(b.Inputs(), row, golden.Columns, row%golden.Rows)
	}
	took, err := b.(*plan.Batch).Profile(manyRows, manyRounds)
	if err != nil {
		return err
	}
	for i, d := range took {
		c := &r.Costs[i]
		c.Row = float64(d.Nanoseconds()) / manyRows
		r.Total.One += c.One
		r.Total.Row += c.Row
	}
	return nil
}
