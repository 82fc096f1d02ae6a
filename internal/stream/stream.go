// Package stream is the seam between Gavel and whatever carries its messages: publish, consume from a cursor, and a
// small key-value interface. It imports nothing. stream/nats is the form that the processes run on, stream/memory the
// one for tests of other packages, streamtest the suite that every form passes.
//
// A Stream is one totally ordered log: a JetStream stream, or one partition of a Kafka topic. Where a topic has several
// partitions, each is a Stream of its own, with its own cursors.
//
// Delivery is at least once. A message whose acknowledgement was lost is sent again under the same ID. A form drops the
// second copy if it can (JetStream does, for DuplicateWindow); if it cannot, readers see both. Whoever reads must
// therefore recognise what it has read already, by ids inside the messages.
//
// Order: messages that one caller sends are stored in the order sent, and every reader sees the order stored. A message
// that failed and is sent again takes its new place, behind those that were stored in between.
//
// Acknowledgement: only Publish has one. It means that the message is stored as durably as the form promises, and that
// every later reader will see it. Readers acknowledge nothing: who reads stores the cursor of what it has done, together
// with what it did, and opens the stream there again.
package stream

import (
	"context"
	"errors"
	"time"
)

// MaxMessageBytes bounds Message.Data in every form.
const MaxMessageBytes = 1<<20 - 1<<10 // a mebibyte with the headers

// DuplicateWindow is for how long a form that drops repeated IDs remembers them.
const DuplicateWindow = 2 * time.Minute

var (
	// ErrAhead means that a reader was to start beyond the end of the stream: the stream is another than the one the
	// cursor was taken from, or it lost its tail.
	ErrAhead = errors.New("stream: cursor beyond the end of the stream")
	// ErrAway means that the stream cannot be reached now. It comes back by itself: see Stream.Up.
	ErrAway = errors.New("stream: the stream is away")
	// ErrClosed means that the reader was closed.
	ErrClosed = errors.New("stream: closed")
	// ErrTooLarge means that a message has more than MaxMessageBytes; sending it again changes nothing.
	ErrTooLarge = errors.New("stream: message too large")
)

// Message is what is published.
type Message struct {
	// ID makes sending idempotent: a message that is sent again has the same ID, two different messages never do.
	ID string
	// Source names the sender; it comes back with the message.
	Source string
	Data   []byte
}

// Entry is a message as the stream stored it.
type Entry struct {
	Message        // ID may be empty where the form does not keep it; Data belongs to who called Next
	At      Cursor // its place
	Time    time.Time
	// Lost is how many messages between the one before (or the cursor asked for) and this one are no longer in the
	// stream, by its bounds on age and size or by damage.
	Lost uint64
}

// State is what the stream holds.
type State struct {
	First    Cursor // of the first message held; meaningless without Messages
	Last     Cursor // of the last message that was ever stored; zero: there was none
	Messages uint64
	LastTime time.Time // when Last was stored
}

// Stream is one log. Safe for concurrent use.
type Stream interface {
	// Publish sends messages in their order and waits until each is acknowledged, ctx ends, or the stream goes away.
	// acked has one element a message; err is nil if and only if all are true. A message without acknowledgement may
	// be stored nevertheless: send it again under the same ID. Errors: ErrTooLarge before anything is sent, ErrAway,
	// ctx's cause, or the form's own. The stream does not touch Data once Publish has returned.
	Publish(ctx context.Context, messages []Message) (acked []bool, err error)

	// Open reads from a place on: the first entry is the one at from, or the first there is behind it. The zero Cursor
	// is the start. It waits until the stream can be reached, or ctx ends. It returns ErrAhead if from is beyond the
	// place that the next message will take.
	Open(ctx context.Context, from Cursor) (Reader, error)
	// OpenSince reads from the first message that was stored at or after a time.
	OpenSince(ctx context.Context, since time.Time) (Reader, error)

	// State asks what the stream holds.
	State(ctx context.Context) (State, error)

	// Up says whether the stream can be reached, and gives a channel that is closed when that changes.
	Up() (up bool, changed <-chan struct{})
	// WaitUp waits until the stream can be used, or ctx ends; it returns ctx's error then, with the cause.
	WaitUp(ctx context.Context) error
}

// Reader hands out the entries of a stream in their order. Not safe for concurrent use, but for Close.
type Reader interface {
	// Next waits for the next entry. Places rise; a gap is told in Entry.Lost. It returns ctx's error or ErrClosed, or
	// an error after which it may be called again: a stream that is away is waited for. What a reader fetches ahead of
	// Next is bounded, however far it is behind.
	Next(ctx context.Context) (Entry, error)
	// Last is the place of the stream's last message when the reader was opened: having read it means having read all
	// there was. Zero: the stream never held any.
	Last() Cursor
	// Close ends the reader, and a Next that waits. It may be called more than once.
	Close() error
}
