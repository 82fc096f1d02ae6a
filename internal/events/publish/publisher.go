// Package publish implements events.Publisher over any stream. It buffers, batches and sends events. Events that cannot be
// sent go to a journal on disk.
//
// options.go has the settings, buffer.go the events in memory, publisher.go the sender, away.go its work while the stream is
// down, and journal.go the file.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/events"
	"gavel/internal/files"
	"gavel/internal/stream"
)

const (
	ackWait    = 5 * time.Second        // for the acknowledgements of a group of messages
	inflight   = 64                     // messages sent together, before waiting for acknowledgements
	backoffMin = 100 * time.Millisecond // between attempts to send while the stream is down
	backoffMax = 2 * time.Second
	replayStep = 4 << 20 // bytes of the journal sent at once
)

// Publisher implements events.Publisher over a stream.
//
// Callers encode into the buffer, under its lock. One goroutine, sendLoop, owns the rest. It seals batches, sends each under
// an id that never changes, and waits for acknowledgements. Batches without one go to the journal. sendLoop has two states:
//
//   - Connected: batches go to the stream. If a batch fails, the state becomes away.
//   - Away, also at the start if the journal is not empty: batches go to the journal, synced. When the stream can be reached,
//     sendLoop sends the journal from its start. When the journal is empty, the state becomes connected. The stream counts as
//     back when it has acknowledged a message.
//
// So messages keep their order. If a message was stored but its acknowledgement was lost, it is sent twice under one id. The
// stream drops the repeat within 2 minutes; later, readers drop it by event id.
type Publisher struct {
	o       Options
	buf     *buffer
	journal *journal
	log     *slog.Logger
	m       *publisherMetrics

	closing  chan struct{}   // closed by Close
	hurry    context.Context // ends with Close's context; the remaining events then go to the journal
	rush     context.CancelCauseFunc
	stopped  chan struct{} // closed when sendLoop has ended
	caughtUp chan struct{} // closed when the journal of an earlier run is sent
	once     sync.Once
	closeErr error       // of sendLoop; read after stopped
	unstored atomic.Bool // events wait in memory, because the journal does not take them either

	// Owned by sendLoop.
	away     bool
	proving  bool // the stream can be reached again and has acknowledged nothing yet
	retryAt  time.Time
	backoff  time.Duration
	spilled  int // events since the stream went down
	lost     int // unimportant events dropped since then
	complain time.Time
}

// New starts a publisher. The caller must close it.
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

// WaitCaughtUp waits until the journal of an earlier process is on the stream. Only then does the stream hold all spend
// (spend.Rebuild). It returns ctx's error, or events.ErrClosed.
func (p *Publisher) WaitCaughtUp(ctx context.Context) error {
	select {
	case <-p.caughtUp:
		return nil
	case <-p.stopped:
		return events.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("publish: the spill journal %s of an earlier run is not sent yet, so its spend is not known: %w (does the stream accept messages?)", p.o.SpillFile, ctx.Err())
	}
}

// Ready returns an error while events wait in memory that neither the stream nor the journal takes.
func (p *Publisher) Ready() error {
	if p.unstored.Load() {
		return fmt.Errorf("publish: neither the stream nor the spill journal %s takes events (is a disk full?)", p.o.SpillFile)
	}
	return nil
}

// Close refuses new events and sends the waiting ones. If ctx ends first, the rest stays in the spill journal, and the next
// process sends it. An error means that events were lost.
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

// sendLoop ends after Close, when all events are sent or spilled.
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
			_ = p.Publish(&e) // if there is no room, the heartbeat is counted as dropped; nobody needs it
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

// work sends or spills the sealed batches. With all, it seals the open batch first.
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

// send sends batches and waits for their acknowledgements. It returns the batches without one, in order.
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
	if err == nil {
		p.unstored.Store(false)
		p.prove()
	}
	return unsent, err
}

// publish sends messages. It waits for acknowledgements until ackWait has passed or Close's context has ended.
func (p *Publisher) publish(msgs []stream.Message) (acked []bool, err error) {
	ctx, cancel := context.WithTimeoutCause(p.hurry, ackWait, fmt.Errorf("no acknowledgement within %v", ackWait))
	defer cancel()
	return p.o.Stream.Publish(ctx, msgs)
}
