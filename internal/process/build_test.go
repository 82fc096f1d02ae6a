package process_test

import (
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/process"
)

func TestBuild(t *testing.T) {
	b := process.BuildOf("2.21.0")
	for name, part := range map[string]string{"version": b.Version, "commit": b.Commit, "go": b.Go} {
		if part == "" {
			t.Errorf("%s is empty", name)
		}
	}
	if b.Go != runtime.Version() {
		t.Errorf("Go %s, want %s", b.Go, runtime.Version())
	}
	line := b.Line("bidder")
	if want := "bidder " + b.Version + ", commit " + b.Commit + ", " + b.Go + ", TensorFlow 2.21.0"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
	if line := process.BuildOf("").Line("loadgen"); strings.Contains(line, "TensorFlow") {
		t.Errorf("%q names TensorFlow, which is not linked", line)
	}
}

func TestBuildMetric(t *testing.T) {
	b := process.Build{Version: "1.2.3", Commit: "abc", Go: "go1.26.6", TensorFlow: "2.21.0"}
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Metric())
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "gavel_build_info" {
		t.Fatalf("%v, %v; want gavel_build_info alone", families, err)
	}
	metric := families[0].GetMetric()[0]
	if v := metric.GetGauge().GetValue(); v != 1 {
		t.Errorf("value %g, want 1", v)
	}
	labels := map[string]string{}
	for _, l := range metric.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	want := map[string]string{"version": "1.2.3", "commit": "abc", "go": "go1.26.6", "tensorflow": "2.21.0"}
	if !maps.Equal(labels, want) {
		t.Errorf("labels %v, want %v", labels, want)
	}
}
