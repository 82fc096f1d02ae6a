package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
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
	return idsOf(t, readerOf(t, s), n)
}

// readerOf reads from the stream's beginning.
func readerOf(t testing.TB, s *Stream) Reader {
	t.Helper()
	r, err := s.Reader(within(t, 20*time.Second), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// idsOf reads n events, each once, and closes the reader.
func idsOf(t testing.TB, r Reader, n int) (ids []string, twice int) {
	t.Helper()
	ctx := within(t, 20*time.Second)
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
