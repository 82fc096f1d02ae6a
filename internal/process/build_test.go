package process_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

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
	want := `
		# HELP gavel_build_info 1; the labels say what this process was built from. tensorflow is empty where none is linked.
		# TYPE gavel_build_info gauge
		gavel_build_info{commit="abc",go="go1.26.6",tensorflow="2.21.0",version="1.2.3"} 1
	`
	if err := testutil.CollectAndCompare(b.Metric(), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
