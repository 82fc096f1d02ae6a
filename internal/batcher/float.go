package batcher

import (
	"math"
	"sync/atomic"
)

// atomicFloat is a float64 that goroutines may load and store concurrently. Its zero value is 0.
type atomicFloat struct{ bits atomic.Uint64 }

func (f *atomicFloat) load() float64   { return math.Float64frombits(f.bits.Load()) }
func (f *atomicFloat) store(x float64) { f.bits.Store(math.Float64bits(x)) }
