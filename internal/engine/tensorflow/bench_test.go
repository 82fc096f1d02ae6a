package tensorflow

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchThreading is what the tests and benchmarks of this process load with. TensorFlow's pools are made once a
// process, so a comparison takes two runs:
//
//	go test -run - -bench Run ./internal/engine/tensorflow
//	GAVEL_THREADING=default go test -run - -bench Run ./internal/engine/tensorflow
var benchThreading = Threading(os.Getenv("GAVEL_THREADING"))

// cpuTime is what the process has used of all cores. It is steadier than the clock where others use them too.
func cpuTime(t testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRun runs batches of random rows; cpu-ns/row is what batching is about.
func BenchmarkRun(b *testing.B) {
	threading := threadingOf(benchThreading)
	for _, model := range []string{"logreg", "deepfm"} {
		for _, rows := range []int{1, 8, 32, 128} {
			b.Run(fmt.Sprintf("model=%s/threads=%s/rows=%d", model, threading, rows), func(b *testing.B) {
				s, _ := opened(b, model)
				batch := newBatch(b, s, rows)
				defer batch.Close()
				for i := range rows {
					s.Sample(batch.Inputs(), i)
				}
				if err := batch.Run(rows); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					if err := batch.Run(rows); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*rows), "cpu-ns/row")
			})
		}
	}
}
