package batcher

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/host"
)

// load measures u, the share of its processors that this process uses: CPU time ÷ (time × processors), over about
// loadMemory. The processors are those that Go was given at the start (GOMAXPROCS), which a container's CPU quota bounds.
//
// Other processes are no part of u, so a neighbour or the host of a container does not mislead the bidder. Nice threads make
// way for everything else, so they are no part of it either.
//
// All pools of a process share one load. Methods are safe for concurrent use.
type load struct {
	cpu        func() time.Duration // used by the process so far; nil: not known, and u is 0
	processors func() int
	epoch      time.Time
	u          atomicFloat
	due        atomic.Int64 // when to sample next, ns since epoch

	mu  sync.Mutex    // guards what follows
	at  int64         // when it sampled last, ns since epoch; 0: it has not
	was time.Duration // what cpu said then
}

// loadMemory is the time constant of u, in ns. It is long enough to hold its share of garbage collections, and to keep u
// steady while holding changes what a claim costs.
const loadMemory = 500e6

// ofProcess is the load of this process.
var ofProcess = newLoad(processCPU, host.Processors)

func newLoad(cpu func() time.Duration, processors func() int) *load {
	return &load{cpu: cpu, processors: processors, epoch: time.Now()}
}

// share is u, about 0 to 1. It samples when an eighth of loadMemory has passed since the last sample, with one system call.
func (l *load) share() float64 {
	now := int64(time.Since(l.epoch)) + 1
	if l.cpu == nil || now < l.due.Load() || !l.mu.TryLock() {
		return l.u.load()
	}
	defer l.mu.Unlock()
	d := float64(now - l.at)
	cpu := l.cpu()
	u := l.u.load()
	if l.at > 0 {
		u += (1 - math.Exp(-d/loadMemory)) * (float64(cpu-l.was)/(d*float64(l.processors())) - u)
	}
	l.u.store(u)
	l.at, l.was = now, cpu
	l.due.Store(now + loadMemory/8)
	return u
}
