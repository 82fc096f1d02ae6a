// Package stream is the interface between Gavel and a message system: publish, consume from a cursor, and a small
// key-value store. It imports no other package of Gavel. stream/nats is the implementation that the processes use,
// stream/memory the one for other packages' tests, and streamtest the suite that every implementation must pass.
//
// A Stream is one totally ordered log: a JetStream stream, or one partition of a Kafka topic. If a topic has several
// partitions, each is a Stream of its own, with its own cursors.
//
// Delivery is at least once. If an acknowledgement is lost, the message is sent again under the same ID. An implementation
// may drop the second copy (JetStream does, for DuplicateWindow); otherwise readers see both. So readers must recognise
// repeats by the ids inside the messages.
//
// Order: messages of one caller are stored in the order sent, and every reader sees the order stored. A message that
// failed and is sent again is stored after messages that were stored in between.
//
// Acknowledgement: only Publish has one. It means that the message is stored as durably as the implementation promises,
// and that every later reader will see it. Readers acknowledge nothing. A reader's owner stores the cursor of the last
// message handled, together with the result, and later opens the stream there.
package stream

import (
	"context"
	"errors"
	"time"
)

// MaxMessageBytes bounds Message.Data in every implementation.
const MaxMessageBytes = 1<<20 - 1<<10 // a mebibyte with the headers

// DuplicateWindow is how long an implementation that drops repeated IDs remembers them.
const DuplicateWindow = 2 * time.Minute

var (
	// ErrAhead means that a cursor is beyond the end of the stream. The cursor is of another stream, or the stream lost
	// its tail.
	ErrAhead = errors.New("stream: cursor beyond the end of the stream")
	// ErrAway means that the stream cannot be reached now. It reconnects by itself: see Stream.Up.
	ErrAway = errors.New("stream: the stream cannot be reached")
	// ErrClosed means that the reader was closed.
	ErrClosed = errors.New("stream: closed")
	// ErrTooLarge means that a message has more than MaxMessageBytes. Sending it again does not help.
	ErrTooLarge = errors.New("stream: message too large")
)

// Message is what is published.
type Message struct {
	// ID makes sending idempotent. A message that is sent again has the same ID. Two different messages never do.
	ID string
	// Source names the sender; readers get it with the message.
	Source string
	Data   []byte
}

// Entry is a message as the stream stored it.
type Entry struct {
	Message        // ID is empty if the implementation does not store it; Data belongs to the caller of Next
	At      Cursor // its position
	Time    time.Time
	// Lost is the number of messages that are missing between the previous entry (or the cursor given to Open) and this
	// one. The stream's bounds on age and size removed them, or damage.
	Lost uint64
}

// State is what the stream holds.
type State struct {
	First    Cursor // of the first message held; meaningless without Messages
	Last     Cursor // of the last message ever stored; zero: none
	Messages uint64
	LastTime time.Time // when Last was stored
}

// Stream is one log. Safe for concurrent use.
type Stream interface {
	// Publish sends messages in their order and waits until each is acknowledged, ctx ends, or the stream goes away.
	// acked has one element for each message; err is nil if and only if all are true. A message without acknowledgement
	// may be stored nevertheless: send it again under the same ID. Errors: ErrTooLarge before anything is sent, ErrAway,
	// ctx's cause, or the implementation's own. The stream does not use Data after Publish has returned.
	Publish(ctx context.Context, messages []Message) (acked []bool, err error)

	// Open returns a reader. Its first entry is the one at from, or the first one after it. The zero Cursor is the start.
	// Open waits until the stream can be reached, or ctx ends. If from is beyond the position of the next message to be
	// stored, Open returns ErrAhead.
	Open(ctx context.Context, from Cursor) (Reader, error)
	// OpenSince returns a reader that starts at the first message stored at or after a time.
	OpenSince(ctx context.Context, since time.Time) (Reader, error)

	// State returns what the stream holds.
	State(ctx context.Context) (State, error)

	// Up reports whether the stream can be reached, and returns a channel that is closed when that changes.
	Up() (up bool, changed <-chan struct{})
	// WaitUp waits until the stream can be used. If ctx ends first, it returns ctx's error, with the cause.
	WaitUp(ctx context.Context) error
}

// Eraser is a Stream of which single messages can be removed for good. An implementation need not be one.
type Eraser interface {
	Stream
	// Erase removes the message at a position and overwrites its bytes. A message that is not there is no error. Readers see
	// the removal as Entry.Lost.
	Erase(ctx context.Context, at Cursor) error
}

// Reader returns the entries of a stream in their order. Only Close is safe for concurrent use.
type Reader interface {
	// Next waits for the next entry, also while the stream cannot be reached. Cursors increase; Entry.Lost reports gaps.
	// Next returns ctx's error, ErrClosed, or an error after which it may be called again. A reader that is far behind
	// fetches only a bounded number of entries ahead.
	Next(ctx context.Context) (Entry, error)
	// Last is the cursor of the stream's last message when the reader was opened. Zero: the stream never held any.
	Last() Cursor
	// Close ends the reader and any waiting Next. It may be called more than once.
	Close() error
}
