package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"gavel/internal/columns"
	"gavel/internal/engine"
)

// Reason is one word for why a version was refused: one of these, or a FaultKind.
type Reason string

const (
	ReasonLoad      Reason = "load"      // its engine cannot read the files
	ReasonObject    Reason = "object"    // an object that it names is missing or damaged
	ReasonSignature Reason = "signature" // its signature, types or shapes are not the manifest's
	ReasonFormat    Reason = "format"    // it lacks the format that is wanted, or this program has no engine for it
	ReasonGolden    Reason = "golden"    // its probabilities are not those that Python computed
	ReasonWarm      Reason = "warm"      // it fails on rows that it must score
	ReasonPrepare   Reason = "prepare"   // the bidder cannot use it, usually because of its recipe
	ReasonMissing   Reason = "missing"   // the pointer names it, but the store does not have it
	ReasonInternal  Reason = "internal"  // a bug in this program
)

// Refusal says why a version does not serve.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string { return fmt.Sprintf("models: refused (%s): %v", r.Reason, r.Err) }
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, err error) *Refusal { return &Refusal{Reason: reason, Err: err} }

// asRefusal returns the refusal in an error of loading.
func asRefusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	var f *Fault
	switch {
	case errors.As(err, &f):
		return refuse(Reason(f.Kind), err)
	case errors.Is(err, engine.ErrObject):
		return refuse(ReasonObject, err)
	case errors.Is(err, engine.ErrLoad):
		return refuse(ReasonLoad, err)
	case errors.Is(err, engine.ErrSignature):
		return refuse(ReasonSignature, err)
	case errors.Is(err, engine.ErrFormat):
		return refuse(ReasonFormat, err)
	case errors.Is(err, ErrNoVersion):
		return refuse(ReasonMissing, err)
	default:
		return refuse(ReasonInternal, err)
	}
}

// LoadOptions configures how a version is loaded. The zero value is usable.
type LoadOptions struct {
	// Format is the format to load, one of the manifest's. Default: its first.
	Format string
	// WarmRows are the batch sizes to run before a version serves, ascending. An engine's first run, and its first run of
	// each size, can take many times as long as later ones. Default: the powers of two up to MaxRows, and MaxRows.
	WarmRows []int
	// MaxRows is the largest batch that will run; default 128. It is used if WarmRows is nil.
	MaxRows int
	// WarmBudget is how long the warm-up may take; default 2 s. It always runs the first size. Sizes that it has not
	// started by then are skipped and logged.
	WarmBudget time.Duration
}

// fill sets the defaults. Its error joins every fault.
func (o *LoadOptions) fill() error {
	var faults []error
	for _, n := range o.WarmRows {
		if n < 1 {
			faults = append(faults, fmt.Errorf("Load.WarmRows holds %d; a batch has at least 1 row", n))
		}
	}
	if o.MaxRows < 0 || o.WarmBudget < 0 {
		faults = append(faults, fmt.Errorf("Load.MaxRows is %d and Load.WarmBudget %v; neither may be negative", o.MaxRows, o.WarmBudget))
	}
	o.MaxRows = cmp.Or(o.MaxRows, 128)
	o.WarmBudget = cmp.Or(o.WarmBudget, 2*time.Second)
	if o.WarmRows == nil {
		for n := 1; n < o.MaxRows; n *= 2 {
			o.WarmRows = append(o.WarmRows, n)
		}
		o.WarmRows = append(o.WarmRows, o.MaxRows)
	}
	return errors.Join(faults...)
}

// Load verifies, loads and warms the version at dir. It checks the files and the engine's schema against the manifest, and
// the golden rows against the probabilities computed at the export. Of the version's formats it loads one; the others are verified
// as files only (LoadEach loads all). The caller owns the result and frees it by Release. If
// the version is at fault, the error is a *Refusal or *Fault, or wraps an error of package engine. Otherwise it is ctx's.
func Load(ctx context.Context, loaders engine.Loaders, dir, model string, version int64, opts LoadOptions) (*Servable, error) {
	if err := opts.fill(); err != nil {
		return nil, fmt.Errorf("models: cannot load %s version %d: %w", model, version, err)
	}
	v, err := verified(dir, model, version)
	if err != nil {
		return nil, err
	}
	format := cmp.Or(opts.Format, v.manifest.Formats[0])
	if !v.manifest.Has(format) {
		return nil, refuse(ReasonFormat, fmt.Errorf("it has no %s, only %s: choose one of these (models.%s.engine, --engine), or list %s under export in the model's recipe, which holds from the next export on",
			format, strings.Join(v.manifest.Formats, ", "), model, format))
	}
	return v.load(ctx, loaders, format, opts)
}

// LoadEach is like Load, but loads every format that the version has, one after the other in the manifest's order. It calls do
// with each, and frees it then. The first error ends it.
func LoadEach(ctx context.Context, loaders engine.Loaders, dir, model string, version int64, opts LoadOptions, do func(*Servable) error) error {
	if err := opts.fill(); err != nil {
		return fmt.Errorf("models: cannot load %s version %d: %w", model, version, err)
	}
	v, err := verified(dir, model, version)
	if err != nil {
		return err
	}
	for _, format := range v.manifest.Formats {
		s, err := v.load(ctx, loaders, format, opts)
		if err == nil {
			err = do(s)
			s.Release()
		}
		if err != nil {
			return fmt.Errorf("models: the %s of %s version %d: %w", format, model, version, err)
		}
	}
	return nil
}

// Rows are golden rows: inputs, and the outputs that were computed for them when the version was exported.
type Rows struct {
	Inputs, Outputs columns.Table
	Tolerance       float64 // the largest difference from the outputs
}

// VerifyRows is like VerifyVersion, and returns the golden rows too. An error is a *Fault or *Refusal.
func VerifyRows(dir, model string, version int64) (*Manifest, *Rows, error) {
	v, err := verified(dir, model, version)
	if err != nil {
		return nil, nil, err
	}
	return v.manifest, &Rows{v.golden.inputs, v.golden.outputs, v.golden.tolerance}, nil
}

// verifiedFiles is a version whose files are those of its manifest.
type verifiedFiles struct {
	dir      string
	manifest *Manifest
	recipe   []byte // nil if it has none
	golden   *golden
	took     time.Duration // reading them
}

func verified(dir, model string, version int64) (*verifiedFiles, error) {
	began := time.Now()
	m, kept, err := verifyVersion(dir, model, version)
	if err != nil {
		return nil, err
	}
	v := &verifiedFiles{dir: dir, manifest: m, recipe: kept[RecipeFile]}
	if _, ok := m.Files[RecipeFile]; ok && v.recipe == nil {
		return nil, refuse(Reason(FaultRead), fmt.Errorf("%s in %s is larger than %d bytes", RecipeFile, dir, maxContent))
	}
	if v.golden, err = readGolden(filepath.Join(dir, filepath.FromSlash(GoldenFile)), kept[GoldenFile], m); err != nil {
		return nil, refuse(ReasonGolden, err)
	}
	v.took = time.Since(began)
	return v, nil
}

// load opens one format, holds its golden rows and warms it.
func (v *verifiedFiles) load(ctx context.Context, loaders engine.Loaders, format string, opts LoadOptions) (*Servable, error) {
	began := time.Now()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := v.manifest
	e, err := loaders.Load(ctx, format, engine.Version{
		Model: m.Model, Number: m.Version, Dir: filepath.Join(v.dir, folder(format)), RowLen: m.RowLen, TableRows: m.TableRows, Objects: m.Objects, Signature: m.Signature,
	})
	if err != nil {
		return nil, err
	}
	s := &Servable{manifest: m, recipe: v.recipe, format: format, engine: e, tolerance: v.golden.tolerance}
	if err := v.golden.checkSchema(e.Schema(), m); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if err := v.golden.check(e); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if taker, ok := e.(engine.SampleTaker); ok {
		taker.TakeSamples(v.golden.samples())
	}
	if s.unwarmed, err = warm(ctx, e, m.TableRows, v.golden, opts); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	s.loadedAt, s.loadTime = time.Now(), v.took+time.Since(began)
	s.onZero = func(s *Servable) { _ = s.engine.Close() } // if batches are still open, the last one that closes frees it
	s.refs.Start()
	return s, nil
}

// warm runs batches of the given sizes until the budget is used, and returns the sizes that it skipped.
func warm(ctx context.Context, e engine.Engine, tableRows int, gold *golden, opts LoadOptions) (skipped []int, err error) {
	until := time.Now().Add(opts.WarmBudget)
	for i, n := range opts.WarmRows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i > 0 && !time.Now().Before(until) {
			return opts.WarmRows[i:], nil
		}
		if err := warmSize(e, tableRows, gold, n); err != nil {
			return nil, refuse(ReasonWarm, fmt.Errorf("a batch of %d rows: %w", n, err))
		}
	}
	return nil, nil
}

// warmSize runs n rows twice. Rows of indices: with zeros, then with the table's last index in every place. The second run fails
// if the table is shorter than the manifest says. Other rows: golden ones, since an engine may refuse rows of zeros.
func warmSize(e engine.Engine, tableRows int, gold *golden, n int) error {
	b, err := e.NewBatch(n)
	if err != nil {
		return err
	}
	defer b.Close()
	if tableRows == 0 {
		for i := range n {
			engine.CopyRow(b.Inputs(), i, gold.inputs.Columns, i%gold.inputs.Rows)
		}
		if err := b.Run(n); err != nil {
			return fmt.Errorf("golden rows: %w", err)
		}
		return b.Run(n)
	}
	if err := b.Run(n); err != nil {
		return fmt.Errorf("rows of zeros: %w", err)
	}
	for _, c := range b.Inputs() {
		for i := range c.Int32 {
			c.Int32[i] = int32(tableRows - 1)
		}
	}
	if err := b.Run(n); err != nil {
		return fmt.Errorf("rows of index %d, the table has %d: %w", tableRows-1, tableRows, err)
	}
	return nil
}
