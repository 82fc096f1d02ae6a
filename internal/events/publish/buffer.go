package publish

import (
	"fmt"
	"sync"

	"gavel/internal/events"
	"gavel/internal/events/codec"
)

// batch is a message that is being filled: room for the array's head, then encoded events.
type batch struct {
	id    string
	b     []byte // batchHead bytes, then the events
	spans []span
	done  chan struct{} // closed when the batch is stored or lost; nil until somebody waits
	err   error         // why it was lost; set before done is closed
}

// span is one event of a batch: where it ends in b, and whether it is important.
type span struct {
	end       int
	important bool
}

const batchHead = codec.HeadBytes

// payload returns the message; it shares b's memory.
func (b *batch) payload() []byte {
	codec.PutHead(b.b, len(b.spans))
	return b.b
}

// thin drops events that are not important, and returns their number.
func (b *batch) thin() (dropped int) {
	kept, start, w := b.spans[:0], batchHead, batchHead
	for _, s := range b.spans {
		if s.important {
			w += copy(b.b[w:], b.b[start:s.end])
			kept = append(kept, span{w, true})
		} else {
			dropped++
		}
		start = s.end
	}
	b.spans, b.b = kept, b.b[:w]
	return dropped
}

// buffer holds the publisher's events in memory: the open batch, and the sealed ones in order. When three quarters of the
// bound are in use, it refuses events that are not important, so that there is room for important ones.
type buffer struct {
	maxEvents int // of a batch
	maxBatch  int // bytes; a batch with more is sealed
	maxBytes  int // of all batches
	prefix    string
	wake      chan struct{} // capacity 1: a batch was opened or sealed

	mu     sync.Mutex // guards what follows
	open   *batch
	sealed []*batch
	bytes  int // of open and sealed batches, and of those being sent
	seq    uint64
	closed bool
	free   []*batch // empty ones, for reuse
}

// add encodes e into the open batch. If wait is set, it returns the batch, so that the caller can wait for it.
func (q *buffer) add(e *events.Event, wait bool) (*batch, error) {
	important := e.Type.Important()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, events.ErrClosed
	}
	b := q.open
	if b == nil {
		b = q.take()
		q.open = b
	}
	start := len(b.b)
	b.b = codec.Append(b.b, e)
	size := len(b.b) - start
	limit := q.maxBytes
	if !important {
		limit = limit / 4 * 3
	}
	switch {
	case size > events.MaxEventBytes:
		b.b = b.b[:start]
		return nil, fmt.Errorf("%w: %s %.60q has %d bytes, at most %d", events.ErrTooLarge, e.Type, e.ID, size, events.MaxEventBytes)
	case q.bytes+size > limit:
		b.b = b.b[:start]
		return nil, events.ErrFull
	}
	q.bytes += size
	b.spans = append(b.spans, span{len(b.b), important})
	if len(b.spans) == 1 {
		q.signal()
	}
	if wait && b.done == nil {
		b.done = make(chan struct{})
	}
	if len(b.spans) >= q.maxEvents || len(b.b) >= q.maxBatch {
		q.seal()
	}
	return b, nil
}

// take returns an empty batch. The caller holds the lock.
func (q *buffer) take() *batch {
	if n := len(q.free); n > 0 {
		b := q.free[n-1]
		q.free = q.free[:n-1]
		return b
	}
	return &batch{b: make([]byte, batchHead, batchHead+4096)}
}

// seal closes the open batch, if it holds anything. The caller holds the lock.
func (q *buffer) seal() {
	b := q.open
	if b == nil || len(b.spans) == 0 {
		return
	}
	q.seq++
	b.id = fmt.Sprintf("%s-%d", q.prefix, q.seq)
	q.sealed = append(q.sealed, b)
	q.open = nil
	q.signal()
}

func (q *buffer) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// pop removes up to n sealed batches, in order. With all, it seals the open batch first. Their bytes count until finish.
func (q *buffer) pop(n int, all bool) []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if all {
		q.seal()
	}
	n = min(n, len(q.sealed))
	out := append([]*batch(nil), q.sealed[:n]...)
	rest := copy(q.sealed, q.sealed[n:])
	clear(q.sealed[rest:])
	q.sealed = q.sealed[:rest]
	return out
}

// unpop puts batches that pop returned back in front.
func (q *buffer) unpop(batches []*batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sealed = append(append([]*batch(nil), batches...), q.sealed...)
}

// finish releases batches. A nil err means that they are stored.
func (q *buffer) finish(batches []*batch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range batches {
		q.bytes -= len(b.b) - batchHead
		if b.done != nil { // a waiter may still read it, so it is not reused
			b.err = err
			close(b.done)
			continue
		}
		if len(q.free) < 64 && cap(b.b) <= 2*q.maxBatch {
			*b = batch{b: b.b[:batchHead], spans: b.spans[:0]}
			q.free = append(q.free, b)
		}
	}
}

// shrink records that bytes of a batch were dropped.
func (q *buffer) shrink(bytes int) {
	q.mu.Lock()
	q.bytes -= bytes
	q.mu.Unlock()
}

// state returns the number of sealed batches, the bytes in use, and whether a batch is open.
func (q *buffer) state() (sealed, bytes int, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.sealed), q.bytes, q.open != nil && len(q.open.spans) > 0
}

func (q *buffer) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}
