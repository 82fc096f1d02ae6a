package batcher

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gavel/internal/engine"
)

// noop is an engine that computes nothing, so that a benchmark measures the batcher alone.
type noop struct{}

type noopBatch struct{ memory }

func (noop) Schema() *engine.Schema { return schemaOf(32) }
func (noop) Close() error           { return nil }
func (noop) NewBatch(capacity int) (engine.Batch, error) {
	return &noopBatch{newMemory(capacity, 32)}, nil
}
func (noop) Validate(inputs []engine.Column, i int) error { return inTable(inputs, i, 1<<20) }
func (b *noopBatch) Run(int) error                        { return nil }
func (b *noopBatch) Close()                               {}

// BenchmarkBatcher measures the batcher's own cost a row: claim, write 32 values, check them, wait, wake. An op is a row.
func BenchmarkBatcher(b *testing.B) {
	var row [32]int32
	for i := range row {
		row[i] = int32(i)
	}
	run := func(policy Policy, maxRows, callers, rows int) {
		name := fmt.Sprintf("policy=%s/max_rows=%d/callers=%d/rows=%d", policy, maxRows, callers, rows)
		b.Run(name, func(b *testing.B) {
			p, err := NewPool(PoolOptions{})
			if err != nil {
				b.Fatal(err)
			}
			q, err := p.NewQueue(noop{}, QueueOptions{MaxRows: maxRows, Policy: policy, MaxWait: 200 * time.Microsecond})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			cpu := processCPU()
			var wg sync.WaitGroup
			for c := range callers {
				n := (b.N/rows + callers - 1 - c) / callers
				wg.Go(func() {
					out := make([]Result, rows)
					for range n {
						t, err := q.Claim(rows, time.Time{})
						if err != nil {
							b.Error(err)
							return
						}
						for i := range rows {
							copy(t.Row(i), row[:])
						}
						if err := t.Wait(context.Background(), out); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(processCPU()-cpu)/float64(b.N), "cpu-ns/row")
			s := q.Stats()
			b.ReportMetric(float64(s.Rows)/float64(max(s.Batches, 1)), "rows/batch")
			b.ReportMetric(float64(s.Inline)/float64(max(s.Batches, 1)), "inline")
			if err := p.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
	for _, callers := range []int{1, 8, 64, 256} {
		run(Adaptive, 128, callers, 1)
	}
	run(Adaptive, 128, 64, 8)
	run(Off, 128, 1, 1)
	run(Off, 128, 64, 1)
	run(Window, 64, 64, 1)
	run(Eager, 32, 64, 1)
	run(Eager, 8, 64, 1)
}
