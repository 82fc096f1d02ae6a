package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gavel/internal/engine"
)

// batch is memory for an engine's rows. A run is a bag of them.
type batch struct {
	engine          *Engine
	inputs, outputs []engine.Column
}

func (b *batch) Inputs() []engine.Column  { return b.inputs }
func (b *batch) Outputs() []engine.Column { return b.outputs }
func (b *batch) Close()                   { b.engine.batchClosed() }

// missedPause is the time after which rows are asked for again whose classifier had no room in memory. It is being admitted then.
const missedPause = 2 * time.Millisecond

// Run implements engine.Batch. Rows that the estimator refuses are named; the others are scored. If the estimator has no room in
// memory, Run waits until it has.
func (b *batch) Run(n int) error {
	e := b.engine
	ctx, cancel := context.WithTimeout(context.Background(), e.timeout)
	defer cancel()
	left := make([]int, n) // rows without an outcome
	for i := range left {
		left[i] = i
	}
	var failed engine.RowErrors
	for {
		bag := NewBag(e.classifier.outputs, len(left))
		for _, i := range left {
			bag.AddTable(e.classifier, b.row(i))
		}
		if err := e.pool.Run(ctx, bag); err != nil {
			return err
		}
		var missed []int
		for task, i := range left {
			switch bag.Outcome(task) {
			case Scored:
				for k := range e.classifier.outputs {
					b.outputs[0].Float64[i*e.classifier.outputs+k] = bag.Probability(task, k)
				}
			case Failed:
				failed.Rows = append(failed.Rows, engine.RowError{Row: i, Err: errors.New(bag.Faults()[task])})
			case Missed:
				missed = append(missed, i)
			default:
				return fmt.Errorf("workers: %s was not scored within %v", e.classifier.name, e.timeout)
			}
		}
		if left = missed; len(left) == 0 {
			break
		}
		select {
		case <-time.After(missedPause):
		case <-ctx.Done():
			return fmt.Errorf("workers: %s had no room in memory within %v (memory)", e.classifier.name, e.timeout)
		}
	}
	if len(failed.Rows) > 0 {
		return &failed
	}
	return nil
}

// row is row i as a worker is sent it.
func (b *batch) row(i int) []any {
	row := make([]any, len(b.inputs))
	for k := range b.inputs {
		switch c := &b.inputs[k]; c.Type {
		case engine.Int32:
			row[k] = int64(c.Int32[i])
		case engine.Float64:
			row[k] = c.Float64[i]
		default:
			row[k] = c.Text[i]
		}
	}
	return row
}
