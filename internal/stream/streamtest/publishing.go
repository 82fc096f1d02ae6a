package streamtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gavel/internal/stream"
)

// A message that is sent again under its ID is acknowledged again. Messages stored before keep their positions.
func testRepeats(t *testing.T, f Form) {
	s := f.New(t)
	publish(t, s, 0, 4)
	publish(t, s, 1, 5)
	r := open(t, s, stream.Cursor{})
	var ids []string
	for {
		e := next(t, r)
		ids = append(ids, string(e.Data))
		if e.At == r.Last() {
			break
		}
	}
	if f.DropsRepeats && len(ids) != 5 {
		t.Errorf("read %q: want each once", ids)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for i := range 5 {
		if want := string(message("a", i).Data); i >= len(ids) || ids[i] != want {
			t.Fatalf("%q is missing in %q", want, ids)
		}
	}
}

// The caller may reuse its buffers after Publish, and owns the entries that a reader returns.
func testBuffers(t *testing.T, f Form) {
	s := f.New(t)
	m := message("a", 0)
	sent := slices.Clone(m.Data)
	if _, err := s.Publish(within(t, patience), []stream.Message{m}); err != nil {
		t.Fatal(err)
	}
	clear(m.Data)
	for range 2 {
		e := next(t, open(t, s, stream.Cursor{}))
		if string(e.Data) != string(sent) {
			t.Fatalf("read %q, sent %q", e.Data, sent)
		}
		clear(e.Data)
	}
}

// With concurrent publishers, every message is stored once, and the messages of each source stay in order.
func testManyPublishers(t *testing.T, f Form) {
	s := f.New(t)
	const sources, each, group = 6, 60, 20
	ctx := within(t, patience)
	var wg sync.WaitGroup
	for c := range sources {
		wg.Go(func() {
			for i := 0; i < each; i += group {
				var messages []stream.Message
				for k := range group {
					messages = append(messages, message(fmt.Sprint("s", c), i+k))
				}
				if acked, err := s.Publish(ctx, messages); err != nil || slices.Contains(acked, false) {
					t.Errorf("acknowledged %v, %v", acked, err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	r := open(t, s, stream.Cursor{})
	for range sources * each {
		e := next(t, r)
		if want := message(e.Source, seen[e.Source]); string(e.Data) != string(want.Data) {
			t.Fatalf("read %q, want %q", e.Data, want.Data)
		}
		seen[e.Source]++
	}
	for c := range sources {
		if n := seen[fmt.Sprint("s", c)]; n != each {
			t.Errorf("%d messages of source %d, want %d", n, c, each)
		}
	}
}

func testTooLarge(t *testing.T, f Form) {
	s := f.New(t)
	large := message("a", 1)
	large.Data = make([]byte, stream.MaxMessageBytes+1)
	acked, err := s.Publish(within(t, patience), []stream.Message{message("a", 0), large})
	if !errors.Is(err, stream.ErrTooLarge) || slices.Contains(acked, true) {
		t.Errorf("acknowledged %v, %v", acked, err)
	}
	large.Data = large.Data[1:]
	if _, err := s.Publish(within(t, patience), []stream.Message{large}); err != nil {
		t.Errorf("the largest message there may be: %v", err)
	}
	if e := next(t, open(t, s, stream.Cursor{})); e.At != stream.CursorAt(1) || len(e.Data) != stream.MaxMessageBytes {
		t.Errorf("read %d bytes at %s: something was sent before the error", len(e.Data), e.At)
	}
}

// While a stream cannot be reached, publishing fails and readers wait. Later it has all its messages again.
func testAway(t *testing.T, f Form) {
	s := f.New(t)
	publishSoon(t, s, 0, 3)
	r := open(t, s, stream.Cursor{})
	want(t, next(t, r), 0, stream.CursorAt(1), 0)
	up, changed := s.Up()
	if !up {
		t.Fatal("not up")
	}
	back := f.Away(t, s)
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatal("nobody was told that the stream is away")
	}
	if up, changed = s.Up(); up {
		t.Fatal("away, and said to be up")
	}
	if acked, err := s.Publish(within(t, patience), []stream.Message{message("a", 3)}); err == nil || slices.Contains(acked, true) {
		t.Errorf("published to a stream that is away: %v, %v", acked, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.WaitUp(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited for a stream that is away: %v", err)
	}
	if _, err := s.Open(short, stream.Cursor{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("opened a stream that is away: %v", err)
	}
	back()
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatal("nobody was told that the stream is back")
	}
	publishSoon(t, s, 3, 6)
	for i := 1; i < 6; i++ {
		e := next(t, r)
		if at := stream.CursorAt(uint64(i + 1)); f.DropsRepeats {
			want(t, e, i, at, 0)
		}
	}
}
