// Package streamtest is the suite that every form of stream.Stream and stream.Buckets must pass. A form's own test calls
// Run and RunBuckets, and adds what only it promises.
package streamtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"gavel/internal/stream"
)

// Form says how a form is set up and disturbed.
type Form struct {
	// New returns an empty stream of the form, which ends with the test.
	New func(t *testing.T) stream.Stream
	// Trim discards the messages before first, Remove the one at a place; both return when it is done.
	Trim   func(t *testing.T, s stream.Stream, first stream.Cursor)
	Remove func(t *testing.T, s stream.Stream, at stream.Cursor)
	// Away takes a stream that New returned away, and returns what brings it back with all it held.
	Away func(t *testing.T, s stream.Stream) (back func())
	// DropsRepeats: a message whose ID was stored lately is not stored again. Without it readers may see both.
	DropsRepeats bool
}

// patience bounds every wait: what takes longer hangs.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, f Form) {
	t.Run("order", func(t *testing.T) { testOrder(t, f) })
	t.Run("resume", func(t *testing.T) { testResume(t, f) })
	t.Run("ahead", func(t *testing.T) { testAhead(t, f) })
	t.Run("since", func(t *testing.T) { testSince(t, f) })
	t.Run("state", func(t *testing.T) { testState(t, f) })
	t.Run("repeats", func(t *testing.T) { testRepeats(t, f) })
	t.Run("gaps", func(t *testing.T) { testGaps(t, f) })
	t.Run("slow reader", func(t *testing.T) { testSlowReader(t, f) })
	t.Run("buffers", func(t *testing.T) { testBuffers(t, f) })
	t.Run("many publishers", func(t *testing.T) { testManyPublishers(t, f) })
	t.Run("too large", func(t *testing.T) { testTooLarge(t, f) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, f) })
	t.Run("close", func(t *testing.T) { testClose(t, f) })
	t.Run("away", func(t *testing.T) { testAway(t, f) })
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// message is the i-th of a source.
func message(source string, i int) stream.Message {
	id := fmt.Sprintf("%s-%06d", source, i)
	return stream.Message{ID: id, Source: source, Data: []byte("data of " + id)}
}

// publish sends messages first to last-1 of source "a" and fails unless all are acknowledged.
func publish(t *testing.T, s stream.Stream, first, last int) {
	t.Helper()
	var messages []stream.Message
	for i := first; i < last; i++ {
		messages = append(messages, message("a", i))
	}
	acked, err := s.Publish(within(t, patience), messages)
	if err != nil || len(acked) != len(messages) || slices.Contains(acked, false) {
		t.Fatalf("published %d to %d: acknowledged %v, %v", first, last, acked, err)
	}
}

// publishSoon sends messages until they are acknowledged, as who publishes across a break does.
func publishSoon(t *testing.T, s stream.Stream, first, last int) {
	t.Helper()
	ctx := within(t, patience)
	for i := first; i < last; {
		if err := s.WaitUp(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(ctx, []stream.Message{message("a", i)}); err == nil {
			i++
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, s stream.Stream, from stream.Cursor) stream.Reader {
	t.Helper()
	r, err := s.Open(within(t, patience), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func next(t *testing.T, r stream.Reader) stream.Entry {
	t.Helper()
	e, err := r.Next(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// want checks that e is message i of source "a", stored at its place.
func want(t *testing.T, e stream.Entry, i int, at stream.Cursor, lost uint64) {
	t.Helper()
	m := message("a", i)
	if e.Source != m.Source || string(e.Data) != string(m.Data) || e.At != at || e.Lost != lost || e.Time.IsZero() {
		t.Fatalf("read %q of %q at %s after %d lost, stored %v; want %q at %s after %d", e.Data, e.Source, e.At, e.Lost, e.Time, m.Data, at, lost)
	}
}
