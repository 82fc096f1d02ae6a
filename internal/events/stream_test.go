package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"gavel/internal/auction"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t testing.TB, dir string, port int) *Embedded {
	t.Helper()
	s, err := StartEmbedded(EmbedOptions{Dir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func portOf(t testing.TB, s *Embedded) int {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// connect goes over TCP, as another process does, so that the server may be stopped under it.
func connect(t testing.TB, s *Embedded) *Stream {
	t.Helper()
	c, err := Connect(StreamOptions{URL: s.URL(), TokenFile: s.TokenFile(), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func publisher(t testing.TB, s *Stream, o PublisherOptions) *StreamPublisher {
	t.Helper()
	o.Stream = s
	if o.Source == "" {
		o.Source = "bidder-1"
	}
	if o.SpillFile == "" {
		o.SpillFile = filepath.Join(t.TempDir(), "spill")
	}
	o.Tick = -1
	o.Registerer = prometheus.NewRegistry()
	p, err := NewPublisher(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func eventNo(i int) *Event {
	id := fmt.Sprintf("%06d", i)
	return &Event{ID: EventID(TypeBilling, id), Type: TypeBilling, Key: id, Time: time.Now().UnixMilli(), Campaign: "c", Price: 1}
}

// readIDs reads until n different ids were seen, and returns them in order with how many came twice.
func readIDs(t testing.TB, s *Stream, n int) (ids []string, twice int) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	r, err := s.Reader(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[string]bool{}
	last := uint64(0)
	for len(ids) < n {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(ids), n, err)
		}
		if m.Seq != last+1 || m.Lost != 0 || m.Damaged != nil || m.Source != "bidder-1" || m.Time.IsZero() {
			t.Fatalf("message %+v after %d", m, last)
		}
		last = m.Seq
		for _, e := range m.Events {
			if seen[e.ID] {
				twice++
				continue
			}
			seen[e.ID] = true
			ids = append(ids, e.ID)
		}
	}
	return ids, twice
}

func inOrder(t testing.TB, ids []string) {
	t.Helper()
	for i, id := range ids {
		if id != eventNo(i).ID {
			t.Fatalf("event %d is %s", i, id)
		}
	}
}

func TestPublishAndRead(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	p := publisher(t, s, PublisherOptions{})
	const n = 2500
	for i := range n {
		if err := p.Publish(eventNo(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.PublishDurable(within(t, 5*time.Second), eventNo(n)); err != nil {
		t.Fatal(err)
	}
	_, last, err := s.Bounds(t.Context())
	if err != nil || last < 26 {
		t.Fatalf("acknowledged, and the stream ends at %d: %v", last, err)
	}
	if err := p.Publish(eventNo(n + 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(eventNo(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("published after Close: %v", err)
	}
	ids, twice := readIDs(t, s, n+2)
	inOrder(t, ids)
	if twice != 0 {
		t.Errorf("%d twice", twice)
	}

	ctx := within(t, 10*time.Second)
	r, err := s.Reader(ctx, 10)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := r.Next(ctx); err != nil || m.Seq != 10 {
		t.Errorf("read %d, %v", m.Seq, err)
	}
	r.Close()
	if _, err := r.Next(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := s.Reader(ctx, last+100); !errors.Is(err, ErrAhead) {
		t.Errorf("a reader beyond the end: %v", err)
	}
	// At the end, Next waits as long as it may, and can be called again.
	r, err = s.Reader(ctx, last+2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the end: %v", err)
	}
	p = publisher(t, s, PublisherOptions{})
	if err := p.PublishDurable(ctx, eventNo(7)); err != nil {
		t.Fatal(err)
	}
	if m, err := r.Next(ctx); err != nil || m.Seq != last+2 {
		t.Errorf("read %d, %v, want %d", m.Seq, err, last+2)
	}
}

// The stream stops and comes back on the same store while events are published and read: nothing is lost, nothing out
// of order, and a durable publish is safe on disk meanwhile.
func TestStreamAwayAndBack(t *testing.T) {
	dir := t.TempDir()
	server := startServer(t, dir, 0)
	port := portOf(t, server)
	s := connect(t, server)
	spill := filepath.Join(t.TempDir(), "spill")
	p := publisher(t, s, PublisherOptions{SpillFile: spill, BatchEvents: 10})
	got := make(chan []string)
	const phase = 500
	go func() {
		ids, _ := readIDs(t, s, 3*phase)
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

// A trimmed stream: the reader says how much is gone.
func TestTrimmed(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	p := publisher(t, s, PublisherOptions{BatchEvents: 1})
	ctx := within(t, 20*time.Second)
	for i := range 20 {
		if err := p.PublishDurable(ctx, eventNo(i)); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.js.Stream(ctx, StreamName)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := st.Purge(ctx, jetstream.WithPurgeSequence(6)); err != nil {
		t.Fatal(err)
	}
	if err := st.DeleteMsg(ctx, 10); err != nil { // a hole, as damage leaves it
		t.Fatal(err)
	}
	var seqs, lost []uint64
	for len(seqs) < 14 {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, m.Seq)
		lost = append(lost, m.Lost)
	}
	if seqs[0] != 6 || lost[0] != 5 || seqs[4] != 11 || lost[4] != 1 || lost[1] != 0 {
		t.Errorf("read %v, lost %v", seqs, lost)
	}
}

func TestRebuildSpend(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	ctx := within(t, 20*time.Second)
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if got, err := RebuildSpend(ctx, s, "", now, ledger); err != nil || got.Bookings != 0 {
		t.Fatalf("an empty stream: %+v, %v", got, err)
	}
	for _, source := range []string{"bidder-1", "bidder-2"} {
		p := publisher(t, s, PublisherOptions{Source: source})
		for i := range 100 {
			e := eventNo(i)
			e.Key, e.Time = source+e.Key, now.UnixMilli()
			e.ID = EventID(TypeBilling, e.Key)
			for range 1 + i%2 { // some twice
				if err := p.Publish(e); err != nil {
					t.Fatal(err)
				}
			}
			e.Type = TypeWin
			if err := p.Publish(e); err != nil {
				t.Fatal(err)
			}
		}
		old := eventNo(999)
		old.Time = now.Add(-24 * time.Hour).UnixMilli()
		if err := p.PublishDurable(ctx, old); err != nil {
			t.Fatal(err)
		}
	}
	day := auction.DayOf(now)
	ledger.Book("c", "bidder-1"+"000003", 1, now) // known already
	got, err := RebuildSpend(ctx, s, "bidder-1", now, ledger)
	if err != nil || got.Bookings != 99 || got.Repeats != 51 || ledger.Spent("c", day) != 100 {
		t.Errorf("%+v, spent %d, %v", got, ledger.Spent("c", day), err)
	}
	if got, err = RebuildSpend(ctx, s, "", now, ledger); err != nil || got.Bookings != 100 || ledger.Spent("c", day) != 200 {
		t.Errorf("%+v, spent %d, %v", got, ledger.Spent("c", day), err)
	}
	spent, err := SpendOf(ctx, s, "bidder-2", day)
	if err != nil || spent["c"] != 100 || len(spent) != 1 {
		t.Errorf("%v, %v", spent, err)
	}
}

// Bills are believed for an hour after the bid: just after midnight, yesterday's last ids must be known.
// Bills that were in the journal when a process died are spend too: the next one waits for them before it counts.
func TestWaitCaughtUp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spill")
	j, _, err := openJournal(file, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	const bills = 500
	for i := range bills {
		if err := j.append(appendRecord(nil, fmt.Sprintf("earlier-%d", i), EncodeMessage([]Event{*eventNo(i)})), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	server := startServer(t, filepath.Join(dir, "stream"), 0)
	port := portOf(t, server)
	s := connect(t, server)
	server.Close()
	p := publisher(t, s, PublisherOptions{SpillFile: file})
	if err := p.WaitCaughtUp(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), file) {
		t.Fatalf("with the stream away: %v", err)
	}
	startServer(t, filepath.Join(dir, "stream"), port)
	if err := p.WaitCaughtUp(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := RebuildSpend(within(t, 20*time.Second), s, "bidder-1", time.Now(), ledger)
	if err != nil || got.Bookings != bills || got.Spend != bills {
		t.Fatalf("restored %+v, %v, want %d bookings of 1", got, err, bills)
	}
}

func TestRebuildSpendAfterMidnight(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	ctx := within(t, 20*time.Second)
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	p := publisher(t, s, PublisherOptions{Source: "bidder-1"})
	for i, before := range []time.Duration{20 * time.Minute, 2 * time.Hour} {
		e := eventNo(i)
		e.Time = midnight.Add(-before).UnixMilli()
		if err := p.PublishDurable(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := RebuildSpend(ctx, s, "", midnight.Add(10*time.Minute), ledger)
	if err != nil || got.Bookings != 1 {
		t.Fatalf("%+v, %v: want the bill of 20 minutes before midnight", got, err)
	}
	recent := eventNo(0)
	if ledger.Book(recent.Campaign, recent.Key, recent.Price, midnight.Add(11*time.Minute)) {
		t.Error("the same bill, told again after midnight, was booked twice")
	}
	if spent := ledger.Spent(recent.Campaign, auction.DayOf(midnight)); spent != 0 {
		t.Errorf("today is charged %d for yesterday's bill", spent)
	}
}

func TestStartEmbedded(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	if st, err := os.Stat(s.TokenFile()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", st.Mode(), err)
	}
	if !strings.HasPrefix(s.URL(), "nats://127.0.0.1:") {
		t.Errorf("listens at %s", s.URL())
	}
	if _, err := StartEmbedded(EmbedOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server on the store: %v", err)
	}
	if _, err := StartEmbedded(EmbedOptions{Dir: t.TempDir(), Port: portOf(t, s)}); err == nil {
		t.Error("a port that is taken: no error")
	}
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("00000000000000000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(StreamOptions{URL: s.URL(), TokenFile: wrong})
	if err == nil {
		defer c.Close()
		if up, _ := c.Up(); up {
			t.Error("connected with the wrong token")
		}
	}
	if err := os.Chmod(wrong, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(StreamOptions{URL: s.URL(), TokenFile: wrong}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a token that others read: %v", err)
	}
	if _, err := Connect(StreamOptions{URL: "http://%zz"}); err == nil {
		t.Error("a URL that is none: no error")
	}
	in, err := Connect(StreamOptions{Embedded: s})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.WaitUp(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
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

func BenchmarkStream(b *testing.B) {
	server, err := StartEmbedded(EmbedOptions{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Close)
	s, err := Connect(StreamOptions{Embedded: server})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	p := publisher(b, s, PublisherOptions{})
	req := sampleRequest()
	bid := NewBid(req, sampleBid(req), time.Now())
	ctx := b.Context()
	r, err := s.Reader(ctx, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	go func() {
		for range b.N {
			for errors.Is(p.Publish(&bid), ErrFull) { // the benchmark outruns the disk
				_ = p.PublishDurable(ctx, eventNo(0))
			}
		}
	}()
	for n < b.N {
		m, err := r.Next(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range m.Events {
			if e.Type == TypeBid {
				n++
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
