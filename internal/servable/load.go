package servable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gavel/internal/modelstore"
)

// Reason says in a word why a version was refused. Those of modelstore.FaultKind come besides these.
type Reason string

const (
	ReasonLoad      Reason = "load"      // TensorFlow cannot read the SavedModel
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
	return refuse(ReasonInternal, err)
}

// LoadOptions say how a version is loaded. The zero value is usable.
type LoadOptions struct {
	Threading Threading // default CallerThread
	// WarmRows are the batch sizes to run before a version serves: the first run of a session, and TensorFlow's first
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
// against Python's probabilities. The caller owns the result and frees it by Release. An error is a *Refusal or
// *modelstore.Fault where the version is at fault, or ctx's.
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
	session, err := OpenSession(dir, m, opts.Threading)
	if err != nil {
		return nil, err
	}
	for _, check := range []func() error{
		func() error { return gold.check(session) },
		func() error { return warm(ctx, session, opts.warmRows()) },
	} {
		if err := check(); err != nil {
			return nil, errors.Join(err, session.Close())
		}
	}
	s := &Servable{manifest: m, recipe: recipe, session: session, loadedAt: time.Now(), loadTime: time.Since(began)}
	s.onZero = func(s *Servable) { _ = s.session.Close() } // open batches, if any, free it when they close
	s.refs.Store(1)
	return s, nil
}

// warm runs batches of the given sizes, twice each: of zeros, then of the table's last index, which shows that the
// table is as long as the manifest says.
func warm(ctx context.Context, s *Session, sizes []int) error {
	for _, n := range sizes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := warmSize(s, n); err != nil {
			return refuse(ReasonWarm, fmt.Errorf("a batch of %d rows: %w", n, err))
		}
	}
	return nil
}

func warmSize(s *Session, n int) error {
	b, err := s.newBatch(n)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, index := range []int32{0, int32(s.tableRows - 1)} {
		for i := range b.rows {
			b.rows[i] = index
		}
		if err := b.Run(n); err != nil {
			return fmt.Errorf("rows of index %d, the table has %d: %w", index, s.tableRows, err)
		}
	}
	return nil
}
