package scoring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/features"
	"gavel/internal/models"
	"gavel/internal/recipe"
)

// retireTimeout bounds how long a version that was swapped out may still be answering.
const retireTimeout = 10 * time.Second

// Model is one model that the process serves. All methods are safe for concurrent use.
type Model struct {
	name    string
	manager *models.Manager
	pool    *batcher.Pool
	queue   batcher.QueueOptions // of each version's queue
	options Options
}

// Status is what serves, loads and was refused, for people.
func (m *Model) Status() models.Status { return m.manager.Status() }

// Ready says whether a warm version serves.
func (m *Model) Ready() bool { return m.manager.Ready() }

// Close takes the model out of service, and waits until its versions are freed or ctx ends.
func (m *Model) Close(ctx context.Context) error { return m.manager.Close(ctx) }

// Acquire returns the version that serves key, for the caller to Release: equal keys get the same version, and a share of
// them the canary. It returns ErrNoVersion if none is loaded. It takes no lock and allocates nothing.
func (m *Model) Acquire(key uint64) (*Version, error) {
	s, err := m.manager.Acquire(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoVersion, err)
	}
	return s.Attached().(*Version), nil
}

// AcquireVersion is Acquire of the version with that number, or of the stable one where number is 0. It returns
// ErrOtherVersion if versions serve but not that one.
func (m *Model) AcquireVersion(number int64) (*Version, error) {
	s, err := m.manager.AcquireVersion(number)
	switch {
	case err == nil:
		return s.Attached().(*Version), nil
	case errors.Is(err, models.ErrOtherVersion):
		return nil, fmt.Errorf("%w: %w", ErrOtherVersion, err)
	default:
		return nil, fmt.Errorf("%w: %w", ErrNoVersion, err)
	}
}

// Version is a loaded version of a model with its encoder and its queue. Who acquired it may use it until Release.
type Version struct {
	loaded  loaded
	rowLen  int
	encoder *features.Encoder
	queue   *batcher.Queue
}

// loaded is what a Version needs of a *models.Servable.
type loaded interface {
	Version() int64
	Manifest() *models.Manifest
	Release()
}

// Version is the version's number.
func (v *Version) Version() int64 { return v.loaded.Version() }

// Shape is how many indices a row holds, and the bound below which they lie.
func (v *Version) Shape() (rowLen, tableRows int) { return v.rowLen, v.encoder.TableRows() }

// Signature is what the version's SavedModel declares.
func (v *Version) Signature() Signature { return v.loaded.Manifest().Signature }

// Release gives back what Acquire gave.
func (v *Version) Release() { v.loaded.Release() }

// prepare makes a loaded version fit to answer. An error refuses the version.
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
	s.Attach(&Version{loaded: s, rowLen: encoder.RowLen(), encoder: encoder, queue: queue})
	return nil
}

// retire closes the queue of a version that nobody uses any more, and with it the batches.
func (m *Model) retire(s *models.Servable) {
	queue := s.Attached().(*Version).queue
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := queue.Close(ctx); err != nil {
		m.options.Logger.Error("the queue of a retired version did not close", "version", s.String(), "error", err)
	}
	m.options.Queues.Retire(queue)
}

// EncoderOf is the encoder by the version's own recipe. An error means that the version cannot serve.
func EncoderOf(s *models.Servable) (*features.Encoder, error) {
	r, err := recipe.Decode(fmt.Sprintf("%s/%s", s, models.RecipeFile), s.Recipe())
	if err != nil {
		return nil, err
	}
	encoder := r.Encoder()
	if m := s.Manifest(); encoder.RowLen() != m.RowLen || encoder.TableRows() != m.TableRows {
		return nil, fmt.Errorf("scoring: the recipe of %s makes rows of %d indices below %d, its manifest says %d and %d; export it again",
			s, encoder.RowLen(), encoder.TableRows(), m.RowLen, m.TableRows)
	}
	return encoder, nil
}
