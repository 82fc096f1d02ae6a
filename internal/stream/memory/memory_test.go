package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/stream"
	"gavel/internal/stream/memory"
	"gavel/internal/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStream(t *testing.T) {
	streamtest.Run(t, streamtest.Form{
		New: func(*testing.T) stream.Stream { return memory.New(nil) },
		Trim: func(_ *testing.T, s stream.Stream, first stream.Cursor) {
			s.(*memory.Stream).Trim(first)
		},
		Remove: func(_ *testing.T, s stream.Stream, at stream.Cursor) {
			s.(*memory.Stream).Remove(at)
		},
		Away: func(_ *testing.T, s stream.Stream) func() {
			s.(*memory.Stream).SetUp(false)
			return func() { s.(*memory.Stream).SetUp(true) }
		},
		DropsRepeats: true,
	})
}

func TestBuckets(t *testing.T) {
	streamtest.RunBuckets(t, func(*testing.T) stream.Buckets { return memory.New(nil) })
}

// A message whose acknowledgement was lost is stored: sent again, it changes nothing for DuplicateWindow.
func TestLostAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(nil)
		m := []stream.Message{{ID: "1", Data: []byte("one")}, {ID: "2", Data: []byte("two")}}
		s.LoseAcks(1)
		acked, err := s.Publish(t.Context(), m)
		if err == nil || acked[0] || !acked[1] {
			t.Fatalf("acknowledged %v, %v", acked, err)
		}
		f := func(wait time.Duration, want uint64) {
			t.Helper()
			time.Sleep(wait)
			if acked, err := s.Publish(context.Background(), m[:1]); err != nil || !acked[0] {
				t.Fatalf("sent again: %v, %v", acked, err)
			}
			if st, err := s.State(t.Context()); err != nil || st.Messages != want {
				t.Errorf("after %v: %+v, %v; want %d messages", wait, st, err, want)
			}
		}
		f(stream.DuplicateWindow-1, 2)
		f(stream.DuplicateWindow, 3)
	})
}
