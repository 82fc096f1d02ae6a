// Package streamtest is the suite that every implementation of stream.Stream and stream.Buckets must pass. Its own tests
// call Run and RunBuckets, and add what only it promises.
package streamtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"gavel/internal/stream"
)

// Form says how the suite sets up and disturbs an implementation.
type Form struct {
	// New returns an empty stream, which is closed when the test ends.
	New func(t *testing.T) stream.Stream
	// Trim removes the messages before first, Remove the one at a cursor. Both return when it is done.
	Trim   func(t *testing.T, s stream.Stream, first stream.Cursor)
	Remove func(t *testing.T, s stream.Stream, at stream.Cursor)
	// Away makes a stream of New unreachable. It returns a function that makes it reachable again, with all its messages.
	Away func(t *testing.T, s stream.Stream) (back func())
	// DropsRepeats: a message whose ID was stored within DuplicateWindow is not stored again. If false, readers may see both.
	DropsRepeats bool
}

// patience bounds every wait. A test that waits longer fails.
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

// message returns the i-th message of a source.
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

// publishSoon sends messages again and again until they are acknowledged.
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
