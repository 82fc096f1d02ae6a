package batcher

import (
	"math"
	"sync"
	"sync/atomic"
)

// machine tells how busy all processors are, whoever keeps them so: where others do, CPU is as scarce as where this
// process does. Niced work does not count, since it makes way.
type machine struct {
	read func() (idle, all float64, ok bool) // time of all processors so far, in any unit; nil: not known
	bits atomic.Uint64                       // math.Float64bits of the busy share, smoothed

	mu        sync.Mutex // guards what follows
	at        int64      // of the last sample, ns on the pool's clock
	idle, all float64    // read then
}

const (
	machineSample = 100e6 // ns; the system counts in steps of some 10 ms a processor
	machineWeight = 1.0 / 4
)

// sample reads anew where that is due. It may be called at any time, by any goroutine; it reads files.
func (m *machine) sample(now int64) {
	if m.read == nil || !m.mu.TryLock() {
		return
	}
	defer m.mu.Unlock()
	if m.at > 0 && now-m.at < machineSample {
		return
	}
	idle, all, ok := m.read()
	if !ok {
		return
	}
	if span := all - m.all; m.at > 0 && span > 0 {
		busy := 1 - min(max((idle-m.idle)/span, 0), 1)
		was := m.busy()
		m.bits.Store(math.Float64bits(was + machineWeight*(busy-was)))
	}
	m.at, m.idle, m.all = now, idle, all
}

// busy is the share of processors' time that lately was used, 0 where it is not known.
func (m *machine) busy() float64 { return math.Float64frombits(m.bits.Load()) }
