package publish_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/eventstest"
	"gavel/internal/events/publish"
	"gavel/internal/stream"
	"gavel/internal/stream/memory"
)

// The stream stops and comes back on the same store while events are published and read: nothing is lost, nothing out
// of order, and a durable publish is safe on disk meanwhile.
func TestStreamAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	server := startServer(t, dir, 0)
	port := portOf(t, server)
	s := connect(t, server)
	spill := filepath.Join(t.TempDir(), "spill")
	p, _ := publisher(t, s, publish.Options{SpillFile: spill, BatchEvents: 10})
	got := make(chan []string, 1)
	const phase = 500
	r := readerOf(t, s) // before the stream is away
	go func() {
		defer close(got) // where reading fails too
		ids, _ := idsOf(t, r, 3*phase)
		got <- ids
	}()
	i := 0
	send := func() {
		for range phase - 1 {
			if err := p.Publish(eventNo(i)); err != nil {
				t.Error(err)
			}
			i++
		}
		if err := p.PublishDurable(within(t, 10*time.Second), eventNo(i)); err != nil {
			t.Error(err)
		}
		i++
	}
	send()
	server.Close()
	send()
	if st, err := os.Stat(spill); err != nil || st.Size() == 0 {
		t.Errorf("durable while away, and the journal is empty: %v", err)
	}
	startServer(t, dir, port)
	send()
	inOrder(t, <-got)
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(spill); err != nil || st.Size() != 0 {
		t.Errorf("journal not empty when all is sent: %v", err)
	}
}

// A bidder that ends while the stream is away leaves its events to the next one.
func TestSpillSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	server := startServer(t, dir, 0)
	port := portOf(t, server)
	s := connect(t, server)
	server.Close()
	spill := filepath.Join(t.TempDir(), "spill")
	p, _ := publisher(t, s, publish.Options{SpillFile: spill})
	for i := range 300 {
		if err := p.Publish(eventNo(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := publish.New(publish.Options{Stream: s, Source: "b", SpillFile: spill, Registerer: prometheus.NewRegistry()}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two publishers with one journal: %v", err)
	}
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	// The machine went down while a record was written.
	f, err := os.OpenFile(spill, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{9, 0, 0, 0, 1, 2, 3, 4, 1, 'x', 'p', 'a'}); err != nil { // a head, and some of the nine bytes it tells
		t.Fatal(err)
	}
	f.Close()

	startServer(t, dir, port)
	if err := s.WaitUp(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	p, _ = publisher(t, s, publish.Options{SpillFile: spill})
	if err := p.PublishDurable(within(t, 10*time.Second), eventNo(300)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	ids, _ := readIDs(t, s, 301)
	inOrder(t, ids)
}

// With the stream away and little room, what is important is kept longest, and what is dropped is told.
func TestBoundsWhenAway(t *testing.T) {
	server := startServer(t, t.TempDir(), 0)
	s := connect(t, server)
	server.Close()
	p, registry := publisher(t, s, publish.Options{BatchEvents: 10, BatchBytes: 1 << 10, BufferBytes: 8 << 10, SpillMaxBytes: 16 << 10})
	req := eventstest.Request()
	bid := events.NewBid(req, eventstest.Bid(req), time.Now())
	full := func(e *events.Event) (n int) {
		for range 5000 {
			// The sender makes room while the journal has any: only what stays full counts.
			patience := time.NewTimer(300 * time.Millisecond)
			poll := time.NewTicker(5 * time.Millisecond)
			err := p.Publish(e)
			for waiting := true; waiting && errors.Is(err, events.ErrFull); {
				select {
				case <-poll.C:
					err = p.Publish(e)
				case <-patience.C:
					waiting = false
				}
			}
			patience.Stop()
			poll.Stop()
			if err != nil {
				return n
			}
			n++
		}
		return n
	}
	full(&bid)
	const dropped = "gavel_events_dropped_total"
	if metric(t, registry, dropped, "no") == 0 {
		t.Error("thousands of bids, and none dropped")
	}
	important := full(eventNo(1))
	if lost := metric(t, registry, dropped, "yes"); important == 0 || important == 5000 || lost == 0 {
		t.Errorf("took %d billings, dropped %v", important, lost)
	}
	if bytes := metric(t, registry, "gavel_events_buffer_bytes", ""); bytes == 0 || bytes > 8<<10 {
		t.Errorf("%g bytes held in memory", bytes)
	}
	if err := p.Publish(&events.Event{Type: events.TypeClick, ID: strings.Repeat("x", events.MaxEventBytes)}); !errors.Is(err, events.ErrTooLarge) {
		t.Errorf("an event too large: %v", err)
	}
	if err := p.Close(within(t, 2*time.Second)); err == nil || !strings.Contains(err.Error(), "lost at shutdown") {
		t.Errorf("closed with events that have no place: %v", err)
	}
}

// Many at once, through Close.
func TestPublishConcurrently(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	p, _ := publisher(t, s, publish.Options{})
	var wg sync.WaitGroup
	const callers, each = 8, 200
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				e := eventNo(c*each + i)
				var err error
				if i%20 == 0 {
					err = p.PublishDurable(within(t, 10*time.Second), e)
				} else {
					err = p.Publish(e)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := p.Close(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	if ids, twice := readIDs(t, s, callers*each); len(ids) != callers*each || twice != 0 {
		t.Errorf("%d events, %d twice", len(ids), twice)
	}
}

func TestPublishAndRead(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	p, _ := publisher(t, s, publish.Options{})
	const n = 2500
	for i := range n {
		if err := p.Publish(eventNo(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.PublishDurable(within(t, 5*time.Second), eventNo(n)); err != nil {
		t.Fatal(err)
	}
	state, err := s.State(t.Context())
	if err != nil || state.Last.Seq() < 26 {
		t.Fatalf("acknowledged, and the stream ends at %s: %v", state.Last, err)
	}
	if err := p.Publish(eventNo(n + 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(eventNo(0)); !errors.Is(err, events.ErrClosed) {
		t.Errorf("published after Close: %v", err)
	}
	ids, twice := readIDs(t, s, n+2)
	inOrder(t, ids)
	if twice != 0 {
		t.Errorf("%d twice", twice)
	}
}

// An acknowledgement that is lost is no loss: the events go through the journal and are sent again under their ids, in
// their order, and nobody reads them twice.
func TestLostAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(nil)
		p, registry := publisher(t, s, publish.Options{BatchEvents: 10})
		const n = 300
		s.LoseAcks(5)
		for i := range n {
			if err := p.Publish(eventNo(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		if metric(t, registry, "gavel_events_stream_up", "") != 0 { // Close has unregistered it
			t.Error("metrics are left behind")
		}
		ids, twice := readIDs(t, s, n)
		if len(ids) != n || twice != 0 {
			t.Errorf("%d events, %d twice", len(ids), twice)
		}
		inOrder(t, ids)
	})
}

// A heartbeat goes out once a tick and is nobody's bid.
func TestTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(nil)
		p, _ := publisher(t, s, publish.Options{Tick: time.Second})
		time.Sleep(10*time.Second + 100*time.Millisecond)
		if err := p.Close(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		ids, _ := readIDs(t, s, 10)
		for _, id := range ids {
			if !strings.HasPrefix(id, "tick:bidder-1:") {
				t.Errorf("event %s", id)
			}
		}
		if st, err := s.State(t.Context()); err != nil || st.Messages != 10 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	s := connect(b, startServer(b, b.TempDir(), 0))
	p, _ := publisher(b, s, publish.Options{})
	req := eventstest.Request()
	bid := events.NewBid(req, eventstest.Bid(req), time.Now())
	ctx := b.Context()
	r, err := s.Open(ctx, stream.Cursor{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			for errors.Is(p.Publish(&bid), events.ErrFull) { // the benchmark outruns the disk
				_ = p.PublishDurable(ctx, eventNo(0))
			}
		}
	}()
	n := 0
	for n < b.N {
		e, err := r.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range codec.Read(e).Events {
			if e.Type == events.TypeBid {
				n++
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
