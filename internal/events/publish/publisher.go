// Package publish is the events.Publisher over any stream: it buffers, batches and sends events, and keeps in a journal on
// disk what cannot be sent.
//
// options.go says how one is set up, buffer.go holds what waits in memory, publisher.go sends it, away.go acts while the
// stream is away, and journal.go is the file.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gavel/internal/events"
	"gavel/internal/files"
	"gavel/internal/stream"
)

const (
	ackWait    = 5 * time.Second        // for the acknowledgements of a group of messages
	inflight   = 64                     // messages sent before acknowledgements are waited for
	backoffMin = 100 * time.Millisecond // between attempts to send when the stream is away
	backoffMax = 2 * time.Second
	replayStep = 4 << 20 // bytes of the journal sent at once
)

// Publisher implements events.Publisher over a stream.
//
// Callers encode into the buffer, under its lock; one goroutine, sendLoop, owns all the rest: it seals batches, sends
// them under an id that stays theirs, waits for acknowledgements, and writes to the journal what got none. It is in one
// of two states. Connected: batches go to the stream. Away (since a batch failed, or because the journal held something
// when it started): batches go to the journal, synced; whenever the stream can be reached, the journal is sent from its
// start, and when it is empty the state is connected again. So messages keep their order; one that was stored though its
// acknowledgement was lost is sent twice under one id, which the stream drops within 2 minutes and readers by event id.
type Publisher struct {
	o       Options
	buf     *buffer
	journal *journal
	log     *slog.Logger
	m       *publisherMetrics

	closing  chan struct{}   // closed by Close
	hurry    context.Context // ends when Close's context does: what is left goes to the journal
	rush     context.CancelCauseFunc
	stopped  chan struct{} // closed when sendLoop has ended
	caughtUp chan struct{} // closed when the journal of an earlier run is sent
	once     sync.Once
	closeErr error // of sendLoop; read after stopped

	// Owned by sendLoop.
	away     bool
	retryAt  time.Time
	backoff  time.Duration
	spilled  int // events since the stream went away
	lost     int // unimportant ones dropped since
	complain time.Time
}

// New starts a publisher. Close it.
func New(o Options) (*Publisher, error) {
	if err := o.fill(); err != nil {
		return nil, fmt.Errorf("publish: cannot publish: %w", err)
	}
	j, cut, err := openJournal(o.SpillFile, o.SpillMaxBytes)
	if err != nil {
		return nil, err
	}
	if cut > 0 {
		o.Logger.Warn("spill journal ended in a record that was cut off; dropped it", "file", o.SpillFile, "bytes", cut)
	}
	p := &Publisher{
		o: o,
		buf: &buffer{
			maxEvents: o.BatchEvents,
			maxBatch:  o.BatchBytes,
			maxBytes:  o.BufferBytes,
			prefix:    o.Source + "-" + files.RandomID(),
			wake:      make(chan struct{}, 1),
		},
		journal:  j,
		log:      o.Logger,
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
		caughtUp: make(chan struct{}),
		away:     !j.empty(),
		backoff:  backoffMin,
	}
	p.hurry, p.rush = context.WithCancelCause(context.Background())
	p.m, err = newPublisherMetrics(o, p.buf)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("publish: cannot publish: %w", err), j.close())
	}
	if p.away {
		p.log.Info("spill journal of an earlier run found, sending it first", "messages", j.count, "bytes", j.size)
	}
	if !p.away {
		close(p.caughtUp)
	}
	go p.sendLoop()
	return p, nil
}

// Publish implements Publisher.
func (p *Publisher) Publish(e *events.Event) error {
	_, err := p.add(e, false)
	return err
}

// PublishDurable implements Publisher.
func (p *Publisher) PublishDurable(ctx context.Context, e *events.Event) error {
	b, err := p.add(e, true)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("publish: %s %q is not stored yet: %w", e.Type, e.ID, ctx.Err())
	}
}

func (p *Publisher) add(e *events.Event, wait bool) (*batch, error) {
	b, err := p.buf.add(e, wait)
	switch {
	case err == nil:
		p.m.events.WithLabelValues(string(e.Type)).Inc()
	case !errors.Is(err, events.ErrClosed):
		p.m.drop(e.Type.Important(), 1)
	}
	return b, err
}

// WaitCaughtUp waits until the journal that an earlier process left is on the stream: only then does the stream tell
// all that was spent (spend.Rebuild). It returns ctx's error, or events.ErrClosed.
func (p *Publisher) WaitCaughtUp(ctx context.Context) error {
	select {
	case <-p.caughtUp:
		return nil
	case <-p.stopped:
		return events.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("publish: the spill journal %s of an earlier run is not sent yet, and what it booked not known: %w (does the stream take messages?)", p.o.SpillFile, ctx.Err())
	}
}

// Close takes no more events, sends all there are, and returns. What cannot be sent until ctx ends is left in the
// spill journal, from where the next process sends it; an error means that events were lost.
func (p *Publisher) Close(ctx context.Context) error {
	p.once.Do(func() {
		p.buf.close()
		close(p.closing)
		stop := context.AfterFunc(ctx, func() { p.rush(errors.New("shutting down")) })
		<-p.stopped
		stop()
		p.rush(nil)
	})
	<-p.stopped
	return p.closeErr
}

// sendLoop ends after Close, when everything is sent or spilled.
func (p *Publisher) sendLoop() {
	defer close(p.stopped)
	due := time.NewTimer(time.Hour) // of the open batch, or of the next attempt
	due.Stop()
	var ticks <-chan time.Time
	if p.o.Tick > 0 {
		t := time.NewTicker(p.o.Tick)
		defer t.Stop()
		ticks = t.C
	}
	armed := false
	for {
		up, change := p.o.Stream.Up()
		var retry <-chan time.Time
		if p.away && up {
			retry = time.After(time.Until(p.retryAt))
		}
		select {
		case <-p.buf.wake:
		case <-due.C:
			armed = false
			p.work(true)
			continue
		case now := <-ticks:
			e := events.NewTick(p.o.Source, now)
			_ = p.Publish(&e) // a heartbeat that has no room is counted, and not missed
			continue
		case <-change:
			p.retryAt = time.Time{}
		case <-retry:
		case <-p.closing:
			due.Stop()
			p.drain()
			return
		}
		if _, _, open := p.buf.state(); open && !armed {
			due.Reset(p.o.BatchWait)
			armed = true
		}
		p.work(false)
	}
}

// work sends or spills what there is; all seals the open batch first.
func (p *Publisher) work(all bool) {
	if p.away {
		p.recover(all)
	}
	for !p.away {
		batches := p.buf.pop(inflight, all)
		if len(batches) == 0 {
			return
		}
		all = false
		p.sendOrSpill(batches)
	}
}

func (p *Publisher) sendOrSpill(batches []*batch) {
	unsent, err := p.send(batches)
	if err == nil {
		return
	}
	p.goAway(err)
	p.spill(unsent)
}

// send sends batches and waits for their acknowledgements; those that got none are returned, in order.
func (p *Publisher) send(batches []*batch) (unsent []*batch, err error) {
	msgs := make([]stream.Message, len(batches))
	for i, b := range batches {
		msgs[i] = stream.Message{ID: b.id, Source: p.o.Source, Data: b.payload()}
	}
	start := time.Now()
	acked, err := p.publish(msgs)
	p.m.ack.Observe(time.Since(start).Seconds())
	var sent []*batch
	n := 0
	for i, b := range batches {
		if acked[i] {
			sent = append(sent, b)
			n += len(b.spans)
		} else {
			unsent = append(unsent, b)
		}
	}
	p.m.acked.Add(float64(n))
	p.buf.finish(sent, nil)
	return unsent, err
}

// publish sends messages; it waits for acknowledgements neither longer than ackWait nor once Close is in a hurry.
func (p *Publisher) publish(msgs []stream.Message) (acked []bool, err error) {
	ctx, cancel := context.WithTimeoutCause(p.hurry, ackWait, fmt.Errorf("no acknowledgement within %v", ackWait))
	defer cancel()
	return p.o.Stream.Publish(ctx, msgs)
}
