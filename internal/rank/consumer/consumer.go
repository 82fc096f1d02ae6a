package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gavel/internal/datasets"
	"gavel/internal/events/codec"
	"gavel/internal/stream"
	"gavel/internal/throttle"
)

const (
	flushRows = 100_000         // so many rows are flushed at once
	retry     = 5 * time.Second // between two attempts of a flush that failed
)

// Options configures a consumer.
type Options struct {
	Stream stream.Stream
	Set    *datasets.Set
	// Window is how long after its click a sale counts.
	Window time.Duration
	// Reorder is how far events may be out of order. 0: 2 s.
	Reorder time.Duration
	// MaxPending bounds the clicks that wait for their window to end, some 600 bytes each. Beyond it new clicks are refused,
	// counted and reported. 0: 2,000,000.
	MaxPending int
	// FlushEvery is how long an example may wait in memory. 0: a minute.
	FlushEvery time.Duration
	// Active returns the campaigns that are active now; nil: none is marked as ended.
	Active  func() []string
	Metrics *Metrics
	Log     *slog.Logger // nil: slog.Default()
}

// A Consumer fills a data set from the stream.
type Consumer struct{ o Options }

// New returns a consumer. The error names every fault of the options.
func New(o Options) (*Consumer, error) {
	var faults []error
	if o.Window < time.Millisecond {
		faults = append(faults, fmt.Errorf("window %v: want 1 ms or more", o.Window))
	}
	if o.Reorder < 0 || o.MaxPending < 0 || o.FlushEvery < 0 {
		faults = append(faults, fmt.Errorf("reorder %v, max pending %d, flush every %v: want no less than 0", o.Reorder, o.MaxPending, o.FlushEvery))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("consumer: cannot consume: %w", err)
	}
	o.Reorder = cmp.Or(o.Reorder, 2*time.Second)
	o.MaxPending = cmp.Or(o.MaxPending, 2_000_000)
	o.FlushEvery = cmp.Or(o.FlushEvery, time.Minute)
	o.Log = cmp.Or(o.Log, slog.Default())
	return &Consumer{o}, nil
}

// Run consumes until ctx ends; then it flushes once more and returns nil. A flush that fails, on a full disk say, is reported and tried
// again. Run returns an error if the set must be opened anew, or the stream cannot be read.
func (c *Consumer) Run(ctx context.Context) error {
	until, text := c.o.Set.Position()
	at, err := ParsePosition(text)
	if err != nil {
		return err
	}
	reader, at, err := c.open(ctx, at)
	if err != nil {
		return err
	}
	defer reader.Close()
	r := run{Consumer: c, joiner: NewJoiner(c.o.Window, c.o.Reorder, c.o.MaxPending, c.o.Set.Fields(), at), until: until}
	return r.loop(ctx, reader)
}

// open opens the stream at a position. If the stream ends before it, the stream lost its tail or is a new one: reading goes
// on at its end, with what was never read.
func (c *Consumer) open(ctx context.Context, at Position) (stream.Reader, Position, error) {
	reader, err := c.o.Stream.Open(ctx, at.Cursor)
	if !errors.Is(err, stream.ErrAhead) {
		return reader, at, err
	}
	state, err := c.o.Stream.State(ctx)
	if err != nil {
		return nil, at, err
	}
	c.o.Log.Error("the stream ends before the data set's position: it lost its tail or is a new one; reading goes on at its end",
		"position", at.String(), "last_sequence", state.Last.Seq())
	at.Cursor = state.Last.Next()
	reader, err = c.o.Stream.Open(ctx, at.Cursor)
	return reader, at, err
}

// run is one Run.
type run struct {
	*Consumer
	joiner *Joiner
	until  int64 // examples before it are on disk already
	rows   []datasets.Row

	refused throttle.Line
}

func (r *run) loop(ctx context.Context, reader stream.Reader) error {
	next := time.Now().Add(r.o.FlushEvery)
	for {
		waiting, cancel := context.WithDeadline(ctx, next)
		entry, err := reader.Next(waiting)
		cancel()
		switch {
		case err == nil:
			if err := r.add(entry); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return r.flush()
		case errors.Is(err, stream.ErrClosed):
			return fmt.Errorf("consumer: cannot read the stream: %w", err)
		case !errors.Is(err, context.DeadlineExceeded):
			r.o.Log.Warn("the stream cannot be read; trying again", "error", err)
		}
		if r.o.Set.Pending() < flushRows && time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(r.o.FlushEvery)
		if err := r.tryFlush(ctx); err != nil {
			return err
		}
	}
}

// add takes one message. Its examples wait in the set.
func (r *run) add(entry stream.Entry) error {
	m := codec.Read(entry)
	if m.Lost > 0 {
		r.o.Log.Error("messages left the stream before they were read; their clicks are not in the data set", "messages", m.Lost)
	}
	if m.Damaged != nil {
		r.o.Log.Error("a message is damaged; the events before the damage are used", "sequence", m.At.Seq(), "error", m.Damaged)
	}
	refused := r.joiner.stats.Refused
	r.rows = r.joiner.Add(&m, r.rows[:0])
	if r.joiner.stats.Refused > refused {
		r.refused.Warn(r.o.Log, "clicks are not in the data set: too many wait for their window to end (raise max_pending, or shorten window)",
			"max_pending", r.o.MaxPending, "refused", r.joiner.stats.Refused)
	}
	for _, row := range r.rows {
		if row.Time < r.until {
			continue
		}
		if err := r.o.Set.Add(row); err != nil {
			return fmt.Errorf("consumer: cannot keep an example: %w", err)
		}
	}
	r.o.Metrics.seen(r.joiner, &m)
	return nil
}

// flush puts what is complete on disk, and marks campaigns that ended.
func (r *run) flush() error {
	if until := r.joiner.Until(); until > r.until {
		if err := r.o.Set.Flush(until, r.joiner.Position().String()); err != nil {
			return err
		}
		r.until = until
	}
	if r.o.Active == nil {
		return nil
	}
	return r.o.Set.SetActive(r.o.Active())
}

// tryFlush flushes. If that fails and the set still holds the rows, it tries again until ctx ends: meanwhile nothing is
// read, so that no more rows wait.
func (r *run) tryFlush(ctx context.Context) error {
	for {
		err := r.flush()
		if err == nil || errors.Is(err, datasets.ErrBroken) {
			return err
		}
		r.o.Metrics.failures.Inc()
		r.o.Log.Error("examples cannot be written; they wait in memory, and reading waits", "error", err, "rows", r.o.Set.Pending())
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return err
		}
	}
}
