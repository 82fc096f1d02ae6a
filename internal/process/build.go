package process

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// What scripts/build.sh sets with -ldflags -X: the file VERSION and the commit that was built, with "-dirty" where the
// checkout had changes. A plain `go build` leaves both empty.
var version, commit string

// Build says what a binary was made of. A field is never empty, except TensorFlow.
type Build struct {
	Version    string // of Gavel, as "0.1.0"; "devel" where the build did not set it
	Commit     string // as "1a2b3c4d5e6f"; "unknown" where neither the build nor Go recorded it
	Go         string // as "go1.26.6"
	TensorFlow string // as "2.21.0"; empty in a binary without TensorFlow
}

// BuildOf is this binary's Build. tensorflow is the version of the library that it links, or empty.
func BuildOf(tensorflow string) Build {
	return Build{
		Version:    cmp.Or(version, "devel"),
		Commit:     cmp.Or(commit, recordedCommit(), "unknown"),
		Go:         runtime.Version(),
		TensorFlow: tensorflow,
	}
}

// recordedCommit is the commit that Go itself recorded, or empty: Go records none under -buildvcs=false.
func recordedCommit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// Line is what `NAME --version` prints.
func (b Build) Line(name string) string {
	line := fmt.Sprintf("%s %s, commit %s, %s", name, b.Version, b.Commit, b.Go)
	if b.TensorFlow != "" {
		line += ", TensorFlow " + b.TensorFlow
	}
	return line
}

// Metric is gavel_build_info, which is always 1 and has the build in its labels.
func (b Build) Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gavel_build_info",
		Help: "1; the labels say what this process was built from. tensorflow is empty where none is linked.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "commit": b.Commit, "go": b.Go, "tensorflow": b.TensorFlow,
		},
	}, func() float64 { return 1 })
}
