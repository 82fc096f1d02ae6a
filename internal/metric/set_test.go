package metric

import (
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

type server struct{}

func (server) Connections() int { return 3 }
func (server) Refused() uint64  { return 2 }
func (server) UnderWay() int64  { return 8 }

func (server) Errors() map[int]uint64 { return map[int]uint64{431: 4} }

func TestSet(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := New(registry)
	s.Counter("a_total", "A.").Add(5)
	s.Counters("b_total", "B.", "kind").WithLabelValues("x").Inc()
	s.Gauge("c", "C.").Set(7)
	s.HTTP("d", 9, server{})
	if err := s.Register(); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"a_total": 5, "b_total": 1, "c": 7, "d_connections": 3, "d_connections_limit": 9, "d_connections_limit_reached_total": 2,
		"d_under_way_bytes": 8, "d_http_errors_total": 4,
	}
	if got := values(t, registry); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	s.Unregister()
	if left := values(t, registry); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
	next := New(registry)
	next.Gauge("c", "C.")
	if err := next.Register(); err != nil {
		t.Fatal(err)
	}
	s.Unregister() // once more: the next part's metric stays
	if left := values(t, registry); len(left) != 1 {
		t.Errorf("%v are left, want the next part's", left)
	}
}

// If one name is taken, none of the set's metrics is exported, and the one that was there before stays.
func TestTaken(t *testing.T) {
	registry := prometheus.NewRegistry()
	first := New(registry)
	first.Counter("a_total", "A.")
	if err := first.Register(); err != nil {
		t.Fatal(err)
	}
	second := New(registry)
	second.Counter("b_total", "B.")
	second.Counter("a_total", "A.")
	if err := second.Register(); err == nil || !strings.Contains(err.Error(), "duplicate") {
		t.Errorf("%v", err)
	}
	if got := values(t, registry); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// Without a registerer, the metrics count.
func TestNowhere(t *testing.T) {
	s := New(nil)
	c := s.Counter("a_total", "A.")
	if err := s.Register(); err != nil {
		t.Fatal(err)
	}
	c.Inc()
	s.Unregister()
	var m dto.Metric
	if err := c.Write(&m); err != nil || m.GetCounter().GetValue() != 1 {
		t.Errorf("it does not count: %v", err)
	}
}

// values returns the value of each metric that a registry exports.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}
