package streamtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"gavel/internal/stream"
)

func testOrder(t *testing.T, f Form) {
	s := f.New(t)
	const n = 300
	publish(t, s, 0, n/2)
	r := open(t, s, stream.Cursor{})
	at := stream.Cursor{}
	for i := range n {
		if i == n/4 { // what comes while somebody reads follows
			publish(t, s, n/2, n)
		}
		at = at.Next()
		want(t, next(t, r), i, at, 0)
	}
	if r.Last() != stream.CursorAt(n/2) {
		t.Errorf("the stream ended at %s when it was opened, want %d", r.Last(), n/2)
	}
}

// A reader opened at the cursor after the last entry read continues with the next entry. A reader opened at the start, or
// at an earlier cursor, returns the same entries again.
func testResume(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 10)
	r := open(t, s, stream.Cursor{})
	for i := range 4 {
		want(t, next(t, r), i, stream.CursorAt(uint64(i+1)), 0)
	}
	stored := next(t, r).At.Next().String()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	publish(t, s, 10, 12)
	from, err := stream.ParseCursor(stored)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // delivered again to whoever asks again
		r := open(t, s, from)
		for i := 5; i < 12; i++ {
			want(t, next(t, r), i, stream.CursorAt(uint64(i+1)), 0)
		}
	}
	want(t, next(t, open(t, s, stream.CursorAt(3))), 2, stream.CursorAt(3), 0)
}

func testAhead(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 3)
	if _, err := s.Open(within(t, patience), stream.CursorAt(5)); !errors.Is(err, stream.ErrAhead) {
		t.Errorf("opened beyond the end: %v", err)
	}
	r := open(t, s, stream.CursorAt(4)) // the place of the next message is no error
	publish(t, s, 3, 4)
	want(t, next(t, r), 3, stream.CursorAt(4), 0)
}

func testSince(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 5)
	first := next(t, open(t, s, stream.Cursor{})).Time
	moment := time.Now()
	for !moment.After(first) { // a clock that stands still under a test may be moved by it
		moment = moment.Add(time.Millisecond)
	}
	time.Sleep(5 * time.Millisecond) // the form's clock must move on
	publish(t, s, 5, 8)
	openSince := func(since time.Time) stream.Reader {
		t.Helper()
		r, err := s.OpenSince(within(t, patience), since)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	want(t, next(t, openSince(first.Add(-time.Hour))), 0, stream.CursorAt(1), 0)
	r := openSince(moment)
	want(t, next(t, r), 5, stream.CursorAt(6), 0)
	want(t, next(t, r), 6, stream.CursorAt(7), 0)
	later := openSince(time.Now().Add(time.Hour))
	if later.Last() != stream.CursorAt(8) {
		t.Errorf("ends at %s, want 8", later.Last())
	}
}

func testState(t *testing.T, f Form) {
	s := f.New(t)
	ctx := within(t, patience)
	if st, err := s.State(ctx); err != nil || !st.Last.IsZero() || st.Messages != 0 {
		t.Fatalf("an empty stream: %+v, %v", st, err)
	}
	if r := open(t, s, stream.Cursor{}); !r.Last().IsZero() {
		t.Errorf("an empty stream ends at %s", r.Last())
	}
	before := time.Now().Add(-time.Minute)
	publish(t, s, 0, 7)
	st, err := s.State(ctx)
	if err != nil || st.First != stream.CursorAt(1) || st.Last != stream.CursorAt(7) || st.Messages != 7 || !st.LastTime.After(before) {
		t.Fatalf("seven messages: %+v, %v", st, err)
	}
	f.Trim(t, s, stream.CursorAt(5))
	if st, err = s.State(ctx); err != nil || st.First != stream.CursorAt(5) || st.Last != stream.CursorAt(7) || st.Messages != 3 {
		t.Fatalf("three left: %+v, %v", st, err)
	}
	f.Trim(t, s, stream.CursorAt(8))
	if st, err = s.State(ctx); err != nil || st.Last != stream.CursorAt(7) || st.Messages != 0 {
		t.Fatalf("none left: %+v, %v", st, err)
	}
}

// Missing messages are reported with the next entry, exactly once, wherever reading begins.
func testGaps(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 20)
	r := open(t, s, stream.Cursor{})
	f.Trim(t, s, stream.CursorAt(6))
	f.Remove(t, s, stream.CursorAt(10))
	lost := map[int]uint64{5: 5, 10: 1}
	for i := 5; i < 20; i++ {
		if i != 9 {
			want(t, next(t, r), i, stream.CursorAt(uint64(i+1)), lost[i])
		}
	}
	want(t, next(t, open(t, s, stream.CursorAt(6))), 5, stream.CursorAt(6), 0)
	want(t, next(t, open(t, s, stream.CursorAt(3))), 5, stream.CursorAt(6), 3)
	want(t, next(t, open(t, s, stream.CursorAt(10))), 10, stream.CursorAt(11), 1)
}

// A reader that is far behind, in messages and in bytes, misses nothing: it fetches a bounded part ahead, and the stream
// keeps the rest.
func testSlowReader(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 1)
	r := open(t, s, stream.Cursor{})
	want(t, next(t, r), 0, stream.CursorAt(1), 0)
	const n = 200
	ctx := within(t, patience)
	for i := range n {
		m := message("a", i+1)
		m.Data = append(m.Data, make([]byte, 100<<10)...)
		if _, err := s.Publish(ctx, []stream.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		e := next(t, r)
		if want := string(message("a", i+1).Data); e.At != stream.CursorAt(uint64(i+2)) || e.Lost != 0 || string(e.Data[:len(want)]) != want {
			t.Fatalf("entry %d is %.30q at %s, %d lost", i, e.Data, e.At, e.Lost)
		}
	}
}

// Next ends with its context and may be called again.
func testCancel(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 1)
	r := open(t, s, stream.CursorAt(2))
	for _, wait := range []time.Duration{-time.Second, 50 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the end of the stream: %v", err)
		}
		cancel()
	}
	publish(t, s, 1, 2)
	want(t, next(t, r), 1, stream.CursorAt(2), 0)

	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the test's own cause")
	cancel(cause)
	acked, err := s.Publish(ended, []stream.Message{message("a", 9)})
	if !errors.Is(err, cause) || len(acked) != 1 || acked[0] {
		t.Errorf("published with a context that has ended: %v, %v", acked, err)
	}
}

// Close ends a waiting Next; later calls return at once.
func testClose(t *testing.T, f Form) {
	s := f.New(t)
	r := open(t, s, stream.Cursor{})
	ends := make(chan error, 1)
	ctx := within(t, patience)
	go func() {
		_, err := r.Next(ctx)
		ends <- err
	}()
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ends; !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Next returned %v", err)
	}
	if _, err := r.Next(ctx); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Next after Close returned %v", err)
	}
}
