package engines_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"gavel/internal/rank/estimators"
)

// fleet serves n copies of a logistic regression over one-hot rows, each under a name of its own, and returns how much memory they took
// and are told to take.
func fleet(b *testing.B, n int) (d *estimators.Directory, taken, told int64) {
	b.Helper()
	dir := b.TempDir()
	write(b, dir)
	copies(b, dir, n)
	before := resident(b)
	d = serve(b, dir, 0)
	if err := d.Scan(b.Context()); err != nil {
		b.Fatal(err)
	}
	if len(d.View().Campaigns()) != n {
		b.Fatalf("%d serve: %v", len(d.View().Campaigns()), d.Faults())
	}
	return d, resident(b) - before, d.Bytes()
}

// resident is the process's memory.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(unix.Getpagesize())
}

// BenchmarkScore scores so many ONNX files for one profile.
func BenchmarkScore(b *testing.B) {
	for _, n := range []int{300} {
		b.Run(fmt.Sprintf("classifiers=%d", n), func(b *testing.B) {
			d, taken, told := fleet(b, n)
			view, p := d.View(), profileOf(map[string]string{"country": "DE", "device": "d3", "hour": "2"})
			logits := make([]float64, n)
			for b.Loop() {
				if partial, err := view.Score(context.Background(), p, nil, logits); err != nil || partial != "" || math.IsNaN(logits[n-1]) {
					b.Fatal(partial, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/classifier")
			b.ReportMetric(float64(taken)/float64(n)/1024, "KiB/engine")
			b.ReportMetric(float64(told)/float64(n)/1024, "KiB/engine-told")
		})
	}
}
