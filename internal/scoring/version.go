package scoring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/features"
	"gavel/internal/models"
	"gavel/internal/recipe"
)

// retireTimeout bounds how long a retired version's queue may take to answer its last rows.
const retireTimeout = 10 * time.Second

// Model is one model that the process serves. All methods are safe for concurrent use.
type Model struct {
	name    string
	manager *models.Manager
	pool    *batcher.Pool
	queue   batcher.QueueOptions // for each version's queue
	options Options
	joins   *joins

	discovered bool // it goes when its pointer goes
	onUse      bool // its versions are loaded when it is asked for
}

// Status describes the versions that serve, load or were refused. It is meant for people; Versions is for programs.
func (m *Model) Status() models.Status { return m.manager.Status() }

// Ready reports whether a version is loaded, warmed up and serving.
func (m *Model) Ready() bool { return m.manager.Ready() }

// Auctions returns nil if the model can score candidates of auctions as soon as it is ready, and otherwise why it cannot.
func (m *Model) Auctions() error {
	v, err := m.AcquireVersion(0)
	if err != nil {
		return nil // not known yet
	}
	defer v.Release()
	if err := v.auctionable(); err != nil {
		return fmt.Errorf("model %s: %w", m.name, err)
	}
	return nil
}

// Close takes the model out of service. It waits until all versions are freed, and returns an error if ctx ends first.
func (m *Model) Close(ctx context.Context) error { return m.manager.Close(ctx) }

// Acquire returns the version that serves key; the caller must Release it. Equal keys get the same version. If there is a
// canary, its share of the keys gets it. Acquire returns ErrNoVersion if no version is loaded, or ErrLoading if this call has it
// loaded. While a version is loaded, it takes no lock and does not allocate.
func (m *Model) Acquire(key uint64) (*Version, error) {
	s, err := m.manager.Acquire(key)
	if err != nil {
		return nil, m.unserved(err)
	}
	return s.Attached().(*Version), nil
}

// AcquireVersion returns the version with that number, or the stable one if number is 0; the caller must Release it. It
// returns ErrNoVersion or ErrLoading as Acquire does, and ErrOtherVersion if versions serve but not this one.
func (m *Model) AcquireVersion(number int64) (*Version, error) {
	s, err := m.manager.AcquireVersion(number)
	switch {
	case err == nil:
		return s.Attached().(*Version), nil
	case errors.Is(err, ErrOtherVersion):
		return nil, err
	default:
		return nil, m.unserved(err)
	}
}

// Version is a loaded version of a model, with its encoder and its queue. A caller that acquired it may use it until it
// calls Release. All methods are safe for concurrent use.
type Version struct {
	loaded            loaded
	rowLen, tableRows int               // of rows of indices; 0 if rows are typed columns
	encoder           *features.Encoder // nil if rows are typed columns: no auction fills those
	labels            []any
	queue             *batcher.Queue

	engine       engine.Engine // what follows is what joining it needs
	pool         *batcher.Pool
	queueOptions batcher.QueueOptions
}

// loaded is the part of *models.Servable that a Version needs. Tests replace it.
type loaded interface {
	Version() int64
	Manifest() *models.Manifest
	Format() string
	Release()
}

// Version returns the version's number.
func (v *Version) Version() int64 { return v.loaded.Version() }

// Shape returns the number of indices in a row. Every index i of a row satisfies 0 ≤ i < tableRows. Both are 0 if the
// version's rows are typed columns: see Schema.
func (v *Version) Shape() (rowLen, tableRows int) { return v.rowLen, v.tableRows }

// Schema returns what a row holds and what it is given. It is read-only.
func (v *Version) Schema() *engine.Schema { return v.queue.Schema() }

// Labels returns the classes in the order of the columns of the output "probability": all string, all int64 or all float64. It
// is nil if the engine has none, and read-only.
func (v *Version) Labels() []any { return v.labels }

// The formats of versions.
const (
	FormatSavedModel = models.DefaultFormat
	FormatPlan       = models.PlanFormat
	FormatONNX       = models.ONNXFormat
)

// Format returns which of the version's formats is loaded.
func (v *Version) Format() string { return v.loaded.Format() }

// Signature returns the signature of the version's SavedModel.
func (v *Version) Signature() Signature { return v.loaded.Manifest().Signature }

// auctionable returns why the version cannot score candidates, or nil.
func (v *Version) auctionable() error {
	if v.encoder != nil {
		return nil
	}
	return fmt.Errorf("scoring: version %d has no recipe: its rows are typed columns, which predictions fill and auctions cannot; "+
		"name another model in auction.click, auction.conversion or the campaign", v.Version())
}

// Release ends one use of the version. Each Acquire or AcquireVersion needs exactly one Release.
func (v *Version) Release() { v.loaded.Release() }

// prepare gives a loaded version its encoder and its queue. If it returns an error, the model refuses the version.
func (m *Model) prepare(s *models.Servable) error {
	encoder, err := EncoderOf(s)
	if err != nil {
		return err
	}
	options := m.queue
	options.Name = fmt.Sprintf("%s/%d", m.name, s.Version())
	queue, err := m.pool.NewQueue(s.Engine(), options)
	if err != nil {
		return err
	}
	m.options.Queues.Add(m.name, queue)
	v := &Version{loaded: s, rowLen: s.Manifest().RowLen, tableRows: s.Manifest().TableRows, encoder: encoder, queue: queue}
	v.engine, v.pool, v.queueOptions = s.Engine(), m.pool, options
	if e, ok := s.Engine().(engine.Labeler); ok {
		v.labels = e.Labels()
	}
	s.Attach(v)
	return nil
}

// retire closes the queue and the batches of a version that has no user any more.
func (m *Model) retire(s *models.Servable) {
	v := s.Attached().(*Version)
	m.joins.retire(v)
	queue := v.queue
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := queue.Close(ctx); err != nil {
		m.options.Logger.Error("cannot close the queue of a retired version", "version", s.String(), "error", err)
	}
	m.options.Queues.Retire(queue)
}

// EncoderOf returns an encoder that follows the version's own recipe, or nil if the version's rows are typed columns, which
// only predictions fill. It returns an error if the recipe is missing, is invalid or does not match the manifest; the version
// cannot serve then.
func EncoderOf(s *models.Servable) (*features.Encoder, error) {
	if !s.Manifest().Indexed() {
		return nil, nil
	}
	if s.Recipe() == nil {
		return nil, fmt.Errorf("scoring: %s has no %s, so nothing encodes its rows", s, models.RecipeFile)
	}
	r, err := recipe.Decode(fmt.Sprintf("%s/%s", s, models.RecipeFile), s.Recipe())
	if err != nil {
		return nil, err
	}
	encoder := r.Encoder()
	if m := s.Manifest(); encoder.RowLen() != m.RowLen || encoder.TableRows() != m.TableRows {
		return nil, fmt.Errorf("scoring: cannot encode rows for %s: its recipe gives rows of %d indices below %d, its manifest says %d below %d; export the version again",
			s, encoder.RowLen(), encoder.TableRows(), m.RowLen, m.TableRows)
	}
	return encoder, nil
}
