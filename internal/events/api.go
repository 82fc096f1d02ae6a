package events

import (
	"context"
	"errors"
	"time"

	"gavel/internal/stream"
)

// Publisher puts events on the stream. Safe for concurrent use.
type Publisher interface {
	// Publish queues ev. It encodes ev before it returns, keeps no reference to it, and never waits for I/O, so the
	// serving path can call it. If the buffer has no room for an event of this importance, the event is dropped and
	// counted, and Publish returns ErrFull. Other errors: ErrTooLarge, ErrClosed.
	Publish(ev *Event) error
	// PublishDurable queues ev and waits until the stream has acknowledged it, or the spill journal has it on disk. It
	// returns Publish's errors, or ctx's. After ctx's error the event may still arrive. Use it for important types: a
	// journal that is nearly full may drop others.
	PublishDurable(ctx context.Context, ev *Event) error
}

// Message is one message of the stream, decoded: codec.Read makes it.
type Message struct {
	At     stream.Cursor // its position in the stream
	Time   time.Time     // when the stream stored it
	Source string        // name of the bidder that sent it
	Events []Event       // bodies of bids point into memory that only this message uses
	// Lost is the number of messages just before this one that the stream has removed: see stream.Entry.
	Lost uint64
	// Damaged says why the rest of the message could not be read; Events holds the events before the damage.
	Damaged error
}

// MaxEventBytes bounds one encoded event. A bid's size depends on its request, which the HTTP server bounds.
const MaxEventBytes = 256 << 10

var (
	// ErrFull means that the stream is down and both the buffer and the spill journal are full.
	ErrFull = errors.New("events: buffer full: the stream is down and the spill journal is full (raise events.spill_max_bytes)")
	// ErrTooLarge means that an event is larger than MaxEventBytes and was not taken.
	ErrTooLarge = errors.New("events: event too large")
	// ErrClosed means that the publisher was closed.
	ErrClosed = errors.New("events: closed")
	// ErrSchema means that a body has a schema that this build does not know.
	ErrSchema = errors.New("events: unknown schema")
)
