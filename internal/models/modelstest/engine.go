package modelstest

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"gavel/internal/engine"
	"gavel/internal/models"
)

// Probability is what an engine of this package gives for a row: a logistic of the bias and the indices.
func Probability(bias float32, row []int32) float32 {
	sum := float64(bias)
	for i, index := range row {
		sum += 0.001 * float64(i+1) * float64(index)
	}
	return float32(1 / (1 + math.Exp(-sum)))
}

// Engines load the versions of this package, and count what is open. The zero value is ready.
type Engines struct {
	// OnLoad, where set, is called at the beginning of each load; its error refuses the version.
	OnLoad func(ctx context.Context, v engine.Version) error
	// OnRun, where set, is called by each run of a batch.
	OnRun func(v engine.Version, rows int) error

	Loads   atomic.Int64 // begun
	Loading atomic.Int64 // under way
	Most    atomic.Int64 // of Loading, ever
	Open    atomic.Int64 // engines and batches that are not closed
}

// OtherFormat is a format that these engines load too. Its weights are in a folder of its own (AddFormat).
const OtherFormat = "other"

// Loaders are these engines, for the format that versions of this package have, and for OtherFormat.
func (es *Engines) Loaders() engine.Loaders {
	return engine.Loaders{models.DefaultFormat: es.load, OtherFormat: es.load}
}

func (es *Engines) load(ctx context.Context, v engine.Version) (engine.Engine, error) {
	es.Loads.Add(1)
	for n := es.Loading.Add(1); ; {
		if most := es.Most.Load(); n <= most || es.Most.CompareAndSwap(most, n) {
			break
		}
	}
	defer es.Loading.Add(-1)
	if es.OnLoad != nil {
		if err := es.OnLoad(ctx, v); err != nil {
			return nil, err
		}
	}
	data, err := os.ReadFile(filepath.Join(v.Dir, "variables", "variables.data"))
	if err != nil || len(data) != 4 {
		return nil, fmt.Errorf("%w: %d bytes of weights: %w", engine.ErrLoad, len(data), err)
	}
	es.Open.Add(1)
	e := &fake{engines: es, version: v, bias: math.Float32frombits(binary.LittleEndian.Uint32(data))}
	e.schema = engine.Schema{
		Inputs:  []engine.Field{{Name: v.Signature.Input, Type: engine.Int32, Width: v.RowLen}},
		Outputs: []engine.Field{{Name: v.Signature.Output, Type: engine.Float32, Width: 1}},
	}
	return e, nil
}

type fake struct {
	engines *Engines
	version engine.Version
	bias    float32
	schema  engine.Schema
}

func (e *fake) Schema() *engine.Schema { return &e.schema }

func (e *fake) NewBatch(capacity int) (engine.Batch, error) {
	e.engines.Open.Add(1)
	return &batch{
		engine:  e,
		inputs:  []engine.Column{{Type: engine.Int32, Width: e.version.RowLen, Int32: make([]int32, capacity*e.version.RowLen)}},
		outputs: []engine.Column{{Type: engine.Float32, Width: 1, Float32: make([]float32, capacity)}},
	}, nil
}

func (e *fake) Close() error {
	e.engines.Open.Add(-1)
	return nil
}

type batch struct {
	engine          *fake
	inputs, outputs []engine.Column
}

func (b *batch) Inputs() []engine.Column  { return b.inputs }
func (b *batch) Outputs() []engine.Column { return b.outputs }
func (b *batch) Close()                   { b.engine.engines.Open.Add(-1) }

func (b *batch) Run(n int) error {
	if on := b.engine.engines.OnRun; on != nil {
		if err := on(b.engine.version, n); err != nil {
			return err
		}
	}
	f := b.engine.version.RowLen
	for i := range n {
		row := b.inputs[0].Int32[i*f : (i+1)*f]
		for _, index := range row {
			if int(index) >= b.engine.version.TableRows {
				return &engine.RowError{Row: i, Err: fmt.Errorf("index %d is not in the table", index)}
			}
		}
		b.outputs[0].Float32[i] = Probability(b.engine.bias, row)
	}
	return nil
}
