package events

import (
	"context"
	"errors"
	"time"
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

// Reader hands out messages in the order of the stream. Not safe for concurrent use.
type Reader interface {
	// Next waits for the next message. Sequences rise; a gap is told in Message.Lost. It returns ctx's error,
	// ErrClosed, or an error after which Next may be called again: a lost connection is mended by itself.
	Next(ctx context.Context) (Message, error)
	// Last is the sequence of the stream's last message when the reader was opened: having read it means having read
	// all there was. 0: the stream was empty.
	Last() uint64
	Close() error
}

// Message is one message of the stream.
type Message struct {
	Seq    uint64    // of the stream, from 1
	Time   time.Time // when the stream stored it
	Source string    // name of the bidder that sent it
	Events []Event   // bodies of bids point into memory that the message owns alone
	// Lost is how many messages between the one before (or the start asked for) and this one are no longer in the
	// stream, by its bounds on age and size or by damage.
	Lost uint64
	// Damaged is why the rest of the message could not be read; Events holds what came before.
	Damaged error
}

var (
	// ErrFull means that the publisher's bounds are used up: the stream is away and the spill journal full.
	ErrFull = errors.New("events: buffer full: the stream is away and its journal full (raise events.spill_max_bytes)")
	// ErrClosed means that the publisher, reader or stream was closed.
	ErrClosed = errors.New("events: closed")
)
