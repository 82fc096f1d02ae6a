package publish

import (
	"errors"
	"fmt"
	"time"

	"gavel/internal/stream"
)

// What sendLoop does while the stream is down, and at the end: see Publisher.

func (p *Publisher) goAway(err error) {
	known := p.away || p.proving
	p.away, p.proving = true, false
	if !known {
		p.spilled, p.lost, p.backoff = 0, 0, backoffMin
		p.m.up.Set(0)
		p.log.Warn("event stream down: events go to the spill journal until it is back", "error", err, "file", p.o.SpillFile)
	}
	p.retryAt = time.Now().Add(p.backoff)
	p.backoff = min(2*p.backoff, backoffMax)
}

// prove marks the stream as back. Only a message that it acknowledged shows that it is: a stream with a full disk can be
// reached too.
func (p *Publisher) prove() {
	if !p.proving {
		return
	}
	p.proving, p.backoff = false, backoffMin
	p.m.up.Set(1)
	p.log.Info("event stream back: spill journal sent", "events_spilled", p.spilled, "events_dropped", p.lost)
}

// recover spills new batches. If the stream can be reached, it sends the journal. When the journal is empty, the next message
// proves that the stream is back.
func (p *Publisher) recover(all bool) {
	up, _ := p.o.Stream.Up()
	if !up || time.Now().Before(p.retryAt) {
		p.spill(p.buf.pop(1<<30, all))
		return
	}
	replayed := false
	for !p.journal.empty() {
		// While the journal is sent, new batches wait in memory. If they become many, they are spilled.
		if _, bytes, _ := p.buf.state(); bytes > p.o.BufferBytes/2 {
			p.spill(p.buf.pop(1<<30, false))
		}
		recs, behind, err := p.journal.peek(replayStep)
		if err != nil && len(recs) == 0 {
			var n int64
			fault := err
			if n, err = p.journal.skip(); err == nil {
				p.m.damaged.Add(float64(n))
				p.log.Error("spill journal damaged: a part is skipped and kept aside", "error", fault, "bytes", n, "file", p.o.SpillFile+".damaged")
			}
		} else {
			err = p.replay(recs, behind)
			replayed = replayed || err == nil
		}
		p.m.journal(p.journal)
		if err != nil {
			p.goAway(err)
			p.spill(p.buf.pop(1<<30, all))
			return
		}
	}
	p.away, p.proving = false, true
	select {
	case <-p.caughtUp:
	default:
		close(p.caughtUp)
	}
	if replayed {
		p.prove()
	}
}

func (p *Publisher) replay(recs []record, behind int64) error {
	for start := 0; start < len(recs); start += inflight {
		part := recs[start:min(start+inflight, len(recs))]
		msgs := make([]stream.Message, len(part))
		for i, r := range part {
			msgs[i] = stream.Message{ID: r.id, Source: p.o.Source, Data: r.payload}
		}
		if _, err := p.publish(msgs); err != nil {
			return err
		}
		p.m.replayed.Add(float64(len(part)))
	}
	return p.journal.advance(behind, len(recs))
}

// spill writes batches to the journal. When three quarters of it are full, it takes only important events. Batches that do
// not fit stay in memory. When the memory is full too, Publish returns events.ErrFull.
func (p *Publisher) spill(batches []*batch) {
	if len(batches) == 0 {
		return
	}
	const group = 1 << 20 // bytes written and synced at once
	for len(batches) > 0 {
		var recs []byte
		n, events := 0, 0
		for n < len(batches) && len(recs) < group {
			b := batches[n]
			if p.journal.size+int64(len(recs)+len(b.b)) > p.o.SpillMaxBytes/4*3 {
				before := len(b.b)
				dropped := b.thin()
				p.buf.shrink(before - len(b.b))
				p.lost += dropped
				p.m.drop(false, dropped)
			}
			if len(b.spans) > 0 {
				if p.journal.size+int64(len(recs)+journalHead+1+len(b.id)+len(b.b)) > p.o.SpillMaxBytes {
					break
				}
				recs = appendRecord(recs, b.id, b.payload())
			}
			events += len(b.spans)
			n++
		}
		err := errJournalFull
		if n > 0 {
			err = nil
		}
		if len(recs) > 0 {
			err = p.journal.append(recs, n)
		}
		if err != nil {
			if now := time.Now(); now.Sub(p.complain) > 10*time.Second {
				p.complain = now
				p.log.Error("events cannot be spilled, they stay in memory", "error", err, "messages", len(batches))
			}
			p.unstored.Store(true)
			p.buf.unpop(batches)
			break
		}
		p.unstored.Store(false)
		p.spilled += events
		p.m.spilled.Add(float64(events))
		p.buf.finish(batches[:n], nil)
		batches = batches[n:]
	}
	p.m.journal(p.journal)
}

// drain sends or spills all events, for Close.
func (p *Publisher) drain() {
	p.retryAt = time.Time{}
	p.work(true)
	for p.away && p.hurry.Err() == nil && (!p.journal.empty() || p.left()) {
		up, change := p.o.Stream.Up()
		if up {
			change = nil
		}
		select {
		case <-change:
		case <-p.hurry.Done():
		case <-time.After(time.Until(p.retryAt)):
		}
		p.work(true)
		if up, _ := p.o.Stream.Up(); !up {
			break // the events are on disk, as Close promises
		}
	}
	if p.left() {
		p.spill(p.buf.pop(1<<30, true))
	}
	if batches := p.buf.pop(1<<30, true); len(batches) > 0 {
		n := 0
		for _, b := range batches {
			n += len(b.spans)
		}
		p.closeErr = fmt.Errorf("publish: %d events lost at shutdown: the stream is down and the spill journal %s is full", n, p.o.SpillFile)
		p.buf.finish(batches, p.closeErr)
	}
	if !p.journal.empty() {
		p.log.Warn("events left in the spill journal, the next start sends them", "file", p.o.SpillFile, "messages", p.journal.count)
	}
	p.closeErr = errors.Join(p.closeErr, p.journal.close())
	p.m.Unregister()
}

func (p *Publisher) left() bool {
	sealed, _, open := p.buf.state()
	return sealed > 0 || open
}
