package publish_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/publish"
	"gavel/internal/stream"
	"gavel/internal/stream/nats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t testing.TB, dir string, port int) *nats.Embedded {
	t.Helper()
	s, err := nats.StartEmbedded(nats.EmbedOptions{Dir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func portOf(t testing.TB, s *nats.Embedded) int {
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
func connect(t testing.TB, s *nats.Embedded) *nats.Stream {
	t.Helper()
	c, err := nats.Connect(nats.Options{URL: s.URL(), TokenFile: s.TokenFile(), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func publisher(t testing.TB, s stream.Stream, o publish.Options) (*publish.Publisher, *prometheus.Registry) {
	t.Helper()
	o.Stream = s
	if o.Source == "" {
		o.Source = "bidder-1"
	}
	if o.SpillFile == "" {
		o.SpillFile = filepath.Join(t.TempDir(), "spill")
	}
	if o.Tick == 0 {
		o.Tick = -1
	}
	registry := prometheus.NewRegistry()
	o.Registerer = registry
	p, err := publish.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p, registry
}

// metric is the value of a counter or gauge, summed over the label values that match.
func metric(t testing.TB, registry *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func eventNo(i int) *events.Event {
	id := fmt.Sprintf("%06d", i)
	return &events.Event{ID: events.EventID(events.TypeBilling, id), Type: events.TypeBilling, Key: id, Time: time.Now().UnixMilli(), Campaign: "c", Price: 1}
}

// readIDs reads until n different ids were seen, and returns them in order with how many came twice.
func readIDs(t testing.TB, s stream.Stream, n int) (ids []string, twice int) {
	t.Helper()
	return idsOf(t, readerOf(t, s), n)
}

// readerOf reads from the stream's beginning.
func readerOf(t testing.TB, s stream.Stream) stream.Reader {
	t.Helper()
	r, err := s.Open(within(t, 20*time.Second), stream.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// idsOf reads n events, each once, and closes the reader.
func idsOf(t testing.TB, r stream.Reader, n int) (ids []string, twice int) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	defer r.Close()
	seen := map[string]bool{}
	last := stream.Cursor{}
	for len(ids) < n {
		e, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", len(ids), n, err)
		}
		m := codec.Read(e)
		if m.At != last.Next() || m.Lost != 0 || m.Damaged != nil || m.Source != "bidder-1" || m.Time.IsZero() {
			t.Fatalf("message %+v after %s", m, last)
		}
		last = m.At
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
