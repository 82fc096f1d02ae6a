package tally

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gavel/internal/events/codec"
	"gavel/internal/stream"
	"gavel/internal/throttle"
)

const (
	saveEvery = time.Minute
	workSpan  = 5 * time.Millisecond // of work, after which a tally that is behind rests three times as long
	retry     = time.Second          // after the stream failed
)

// Options configure a Tally. Stream, File and Log are required.
type Options struct {
	Stream stream.Stream
	File   string           // keeps the counts; its directory must exist
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger
}

// A Tally counts. Its methods may be called by several goroutines; Run by one.
type Tally struct {
	o Options

	mu        sync.Mutex // guards all below
	campaigns map[string]*days
	newest    int64         // day
	position  stream.Cursor // the next message to read
	last      time.Time     // of the last message that was read
	dirty     bool          // there is more than the file has
	seen      recent        // events
	sold      recent        // clicks with a sale
	full      throttle.Line
}

// New makes a Tally with what its file holds. A file that is damaged or absent is no fault: the stream is read anew.
func New(o Options) (*Tally, error) {
	if o.Stream == nil || o.File == "" || o.Log == nil {
		return nil, errors.New("tally: cannot count without a stream, a file and a log")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Tally{o: o, campaigns: map[string]*days{}, seen: newRecent(), sold: newRecent()}
	if err := t.load(); err != nil {
		o.Log.Warn("the page's counts are made anew from the stream", "error", err)
	}
	return t, nil
}

// Snapshot is what was counted.
type Snapshot struct {
	From      time.Time // of the first day
	Last      time.Time // when the stream stored the last message that was read; zero: none
	Campaigns map[string]Counts
}

// Snapshot returns the counts of the last days: 1 is today, UTC, alone. More than Days are Days.
func (t *Tally) Snapshot(last int) Snapshot {
	last = min(max(last, 1), Days)
	t.mu.Lock()
	defer t.mu.Unlock()
	today := dayOf(t.o.Now().UnixMilli())
	t.advance(today)
	first := t.newest - int64(last) + 1
	s := Snapshot{From: time.UnixMilli(first * (24 * time.Hour).Milliseconds()).UTC(), Last: t.last, Campaigns: make(map[string]Counts, len(t.campaigns))}
	for id, all := range t.campaigns {
		var sum Counts
		for d := first; d <= t.newest; d++ {
			sum.Add(all[d%Days])
		}
		if sum != (Counts{}) {
			s.Campaigns[id] = sum
		}
	}
	return s
}

// Run counts until ctx ends, keeps the counts once more, and returns nil. What fails is logged and tried again: the page is behind
// meanwhile, and nothing else waits.
func (t *Tally) Run(ctx context.Context) error {
	var failed throttle.Line
	for ctx.Err() == nil {
		if err := t.read(ctx); err != nil && ctx.Err() == nil {
			failed.Warn(t.o.Log, "the page's counts stand still", "error", err)
			pause(ctx, retry)
		}
	}
	t.save()
	return nil
}

// read reads the stream until it fails or ctx ends.
func (t *Tally) read(ctx context.Context) error {
	reader, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	behind := reader.Last()
	saveAt := time.Now().Add(saveEvery)
	var worked time.Duration
	for {
		waiting, cancel := context.WithDeadline(ctx, saveAt)
		entry, err := reader.Next(waiting)
		cancel()
		if time.Now().After(saveAt) {
			saveAt = time.Now().Add(saveEvery)
			t.save()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			continue
		case err != nil:
			return fmt.Errorf("tally: cannot read the stream: %w", err)
		}
		began := time.Now()
		m := codec.Read(entry)
		if m.Damaged != nil {
			t.o.Log.Warn("a message is damaged; the page counts the events before the damage", "sequence", m.At.Seq(), "error", m.Damaged)
		}
		t.add(&m)
		if worked += time.Since(began); worked > workSpan {
			if m.At.Compare(behind) < 0 {
				pause(ctx, 3*worked)
			}
			worked = 0
		}
	}
}

// open opens the stream where the counts end: at the first of the Days if there are none, or if the stream is another one.
func (t *Tally) open(ctx context.Context) (stream.Reader, error) {
	t.mu.Lock()
	at := t.position
	t.mu.Unlock()
	if !at.IsZero() {
		reader, err := t.o.Stream.Open(ctx, at)
		if !errors.Is(err, stream.ErrAhead) {
			return reader, err
		}
		t.o.Log.Warn("the stream ends before the page's counts: it lost its tail or is a new one; they are made anew", "position", at.String())
		t.mu.Lock()
		t.campaigns, t.position, t.seen, t.sold = map[string]*days{}, stream.Cursor{}, newRecent(), newRecent()
		t.mu.Unlock()
	}
	first := (dayOf(t.o.Now().UnixMilli()) - Days + 1) * (24 * time.Hour).Milliseconds()
	return t.o.Stream.OpenSince(ctx, time.UnixMilli(first))
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
