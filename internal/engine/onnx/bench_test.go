package onnx

import (
	"fmt"
	"testing"
)

// BenchmarkRun tells the time of a run by its rows; the model is a small one, so that it is what a run costs at least.
func BenchmarkRun(b *testing.B) {
	x, _ := golden(b)
	for _, n := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			batch := newBatch(b, opened(b, "indices"), n)
			for i := range n {
				copy(batch.Inputs()[0].Int32[8*i:], x[i%len(x)])
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := batch.Run(n); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
		})
	}
}
