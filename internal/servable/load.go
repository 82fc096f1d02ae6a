package servable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gavel/internal/engine"
	"gavel/internal/modelstore"
)

// Reason says in a word why a version was refused. Those of modelstore.FaultKind come besides these.
type Reason string

const (
	ReasonFormat    Reason = "format"    // this program has no engine for its format
	ReasonLoad      Reason = "load"      // its engine cannot read it
	ReasonSignature Reason = "signature" // its signature, types or shapes are not the manifest's
	ReasonGolden    Reason = "golden"    // its probabilities are not those that Python computed
	ReasonWarm      Reason = "warm"      // it fails on rows that it must score
	ReasonPrepare   Reason = "prepare"   // the bidder cannot use it: its recipe, mostly
	ReasonMissing   Reason = "missing"   // the pointer names it, the store does not hold it
	ReasonInternal  Reason = "internal"  // a fault of ours
)

// Refusal is why a version does not serve.
type Refusal struct {
	Reason Reason
	Err    error
}

func (r *Refusal) Error() string { return fmt.Sprintf("servable: refused (%s): %v", r.Reason, r.Err) }
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, err error) *Refusal { return &Refusal{Reason: reason, Err: err} }

// asRefusal finds the refusal in an error of loading.
func asRefusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	var f *modelstore.Fault
	if errors.As(err, &f) {
		return refuse(Reason(f.Kind), err)
	}
	for reason, cause := range map[Reason]error{
		ReasonFormat: engine.ErrFormat, ReasonLoad: engine.ErrLoad, ReasonSignature: engine.ErrSignature,
	} {
		if errors.Is(err, cause) {
			return refuse(reason, err)
		}
	}
	return refuse(ReasonInternal, err)
}

// LoadOptions say how a version is loaded. Loaders are required.
type LoadOptions struct {
	Loaders engine.Loaders // engines by the format in the manifest
	// WarmRows are the batch sizes to run before a version serves: the first run of an engine, and TensorFlow's first
	// of a size, take many times the later ones. Default: the powers of two up to 128.
	WarmRows []int
}

func (o LoadOptions) warmRows() []int {
	if o.WarmRows == nil {
		return []int{1, 2, 4, 8, 16, 32, 64, 128}
	}
	return o.WarmRows
}

// Load verifies, loads and warms the version at dir: files against the manifest, the signature against it, golden rows
// against Python's probabilities. The caller owns the result and frees it by Release. Where the version is at fault, the
// error is a *Refusal or *modelstore.Fault, or wraps engine.ErrFormat, ErrLoad or ErrSignature; else it may be ctx's.
func Load(ctx context.Context, dir, model string, version int64, opts LoadOptions) (*Servable, error) {
	began := time.Now()
	m, err := modelstore.VerifyVersion(dir, model, version)
	if err != nil {
		return nil, err
	}
	recipe, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(modelstore.RecipeFile)))
	if err != nil {
		return nil, refuse(Reason(modelstore.FaultRead), err)
	}
	gold, err := readGolden(filepath.Join(dir, filepath.FromSlash(modelstore.GoldenFile)), m)
	if err != nil {
		return nil, refuse(ReasonGolden, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e, err := opts.Loaders.Load(ctx, m.Format, engine.Version{Model: model, Number: version, Dir: dir,
		RowLen: m.RowLen, TableRows: m.TableRows, Signature: engine.Signature(m.Signature)})
	if err != nil {
		return nil, err
	}
	for _, check := range []func() error{
		func() error { return checkSchema(e.Schema(), m) },
		func() error { return gold.check(e) },
		func() error { return warm(ctx, e, m, opts.warmRows()) },
	} {
		if err := check(); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	s := &Servable{manifest: m, recipe: recipe, engine: e, loadedAt: time.Now(), loadTime: time.Since(began)}
	s.onZero = func(s *Servable) { _ = s.engine.Close() } // open batches, if any, free it when they close
	s.refs.Store(1)
	return s, nil
}

// checkSchema holds an engine's schema against the manifest: rows of indices in, a probability out.
func checkSchema(s *engine.Schema, m *modelstore.Manifest) error {
	in, out := s.Inputs, s.Outputs
	if len(in) != 1 || in[0].Type != engine.Int32 || in[0].Width != m.RowLen ||
		len(out) != 1 || out[0].Type != engine.Float32 || out[0].Width != 1 {
		return refuse(ReasonSignature, fmt.Errorf("the engine takes %v and gives %v; by the manifest it takes int32[%d] and gives float32", in, out, m.RowLen))
	}
	return nil
}

// warm runs batches of the given sizes, twice each: of zeros, then of the table's last index, which shows that the
// table is as long as the manifest says.
func warm(ctx context.Context, e engine.Engine, m *modelstore.Manifest, sizes []int) error {
	for _, n := range sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := warmSize(e, m, n); err != nil {
			return refuse(ReasonWarm, fmt.Errorf("a batch of %d rows: %w", n, err))
		}
	}
	return nil
}

func warmSize(e engine.Engine, m *modelstore.Manifest, n int) error {
	b, err := e.NewBatch(n)
	if err != nil {
		return err
	}
	defer b.Close()
	rows := b.Inputs()[0].Int32
	for _, index := range []int32{0, int32(m.TableRows - 1)} {
		for i := range rows {
			rows[i] = index
		}
		if err := b.Run(n); err != nil {
			return fmt.Errorf("rows of index %d, the table has %d: %w", index, m.TableRows, err)
		}
	}
	return nil
}
