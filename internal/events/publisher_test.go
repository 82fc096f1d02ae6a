package events

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The stream stops and comes back on the same store while events are published and read: nothing is lost, nothing out
// of order, and a durable publish is safe on disk meanwhile.
func TestStreamAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	server := startServer(t, dir, 0)
	port := portOf(t, server)
	s := connect(t, server)
	spill := filepath.Join(t.TempDir(), "spill")
	p := publisher(t, s, PublisherOptions{SpillFile: spill, BatchEvents: 10})
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
	p := publisher(t, s, PublisherOptions{SpillFile: spill})
	for i := range 300 {
		if err := p.Publish(eventNo(i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewPublisher(PublisherOptions{Stream: s, Source: "b", SpillFile: spill, Registerer: prometheus.NewRegistry()}); err == nil || !strings.Contains(err.Error(), "another process") {
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
	if _, err := f.Write(appendRecord(nil, "x", []byte("payload"))[:12]); err != nil {
		t.Fatal(err)
	}
	f.Close()

	startServer(t, dir, port)
	if err := s.WaitUp(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	p = publisher(t, s, PublisherOptions{SpillFile: spill})
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
	p := publisher(t, s, PublisherOptions{BatchEvents: 10, BatchBytes: 1 << 10, BufferBytes: 8 << 10, SpillMaxBytes: 16 << 10})
	req := sampleRequest()
	bid := NewBid(req, sampleBid(req), time.Now())
	full := func(e *Event) (n int) {
		for range 5000 {
			// The sender makes room while the journal has any: only what stays full counts.
			patience := time.NewTimer(300 * time.Millisecond)
			poll := time.NewTicker(5 * time.Millisecond)
			err := p.Publish(e)
			for waiting := true; waiting && errors.Is(err, ErrFull); {
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
	if bidsDropped, _ := dropped(t, p); bidsDropped == 0 {
		t.Error("thousands of bids, and none dropped")
	}
	important := full(eventNo(1))
	if _, lost := dropped(t, p); important == 0 || important == 5000 || lost == 0 {
		t.Errorf("took %d billings, dropped %v", important, lost)
	}
	if _, bytes, _ := p.buf.state(); bytes > 8<<10 {
		t.Errorf("%d bytes held in memory", bytes)
	}
	if err := p.Publish(&Event{Type: TypeClick, ID: strings.Repeat("x", MaxEventBytes)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an event too large: %v", err)
	}
	if err := p.Close(within(t, 2*time.Second)); err == nil || !strings.Contains(err.Error(), "lost at shutdown") {
		t.Errorf("closed with events that have no place: %v", err)
	}
}

// dropped reads gavel_events_dropped_total.
func dropped(t testing.TB, p *StreamPublisher) (unimportant, important float64) {
	t.Helper()
	for label, to := range map[string]*float64{"no": &unimportant, "yes": &important} {
		var m dto.Metric
		if err := p.m.dropped.WithLabelValues(label).Write(&m); err != nil {
			t.Fatal(err)
		}
		*to = m.GetCounter().GetValue()
	}
	return unimportant, important
}

// Many at once, through Close.
func TestPublishConcurrently(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	p := publisher(t, s, PublisherOptions{})
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
