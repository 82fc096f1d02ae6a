package events

import (
	"context"
	"errors"
	"time"

	"gavel/internal/stream"
)

// Publisher puts events on the stream. Safe for concurrent use.
type Publisher interface {
	// Publish takes ev. It encodes before it returns, keeps nothing of ev, and never waits for I/O: this is what the
	// serving path calls. It returns ErrFull when the buffer has no room for an event of this importance (it is
	// dropped and counted), ErrTooLarge, or ErrClosed.
	Publish(ev *Event) error
	// PublishDurable takes ev and waits until the stream has acknowledged it, or the spill journal has it on disk. It
	// returns Publish's errors, or ctx's: the event may then still arrive. It is meant for important types; others may be
	// dropped from a journal that is nearly full.
	PublishDurable(ctx context.Context, ev *Event) error
}

// Message is one message of the stream, decoded: codec.Read makes it.
type Message struct {
	At     stream.Cursor // its place in the stream
	Time   time.Time     // when the stream stored it
	Source string        // name of the bidder that sent it
	Events []Event       // bodies of bids point into memory that the message owns alone
	// Lost is how many messages before this one are gone from the stream: see stream.Entry.
	Lost uint64
	// Damaged is why the rest of the message could not be read; Events holds what came before.
	Damaged error
}

// MaxEventBytes bounds one encoded event. A bid's size follows from the request it answers, which the edge bounds.
const MaxEventBytes = 256 << 10

// ExchangeTTL is for how long after its bid a win, billing or loss is believed, unless notices are set up otherwise.
// What was billed longer ago than this cannot be billed again.
const ExchangeTTL = time.Hour

var (
	// ErrFull means that the publisher's bounds are used up: the stream is away and the spill journal full.
	ErrFull = errors.New("events: buffer full: the stream is away and its journal full (raise events.spill_max_bytes)")
	// ErrTooLarge means that an event is larger than MaxEventBytes and was not taken.
	ErrTooLarge = errors.New("events: event too large")
	// ErrClosed means that the publisher was closed.
	ErrClosed = errors.New("events: closed")
	// ErrSchema means that a body was written by a schema this build does not know.
	ErrSchema = errors.New("events: unknown schema")
)
