package workers

import (
	"sync/atomic"
	"time"
)

// counters count since the start.
type counters struct {
	tasks, batches, stolen, loads, evicted, missed, failed, retried, deaths, late, full, lockNS atomic.Int64
}

// Stats is a snapshot of a pool.
type Stats struct {
	Tasks    int64         // scored
	Batches  int64         // answered, with tasks
	Stolen   int64         // tasks that another worker than their home was sent
	Loads    int64         // copies that workers loaded
	Evicted  int64         // copies that the policy took away
	Missed   int64         // tasks whose classifier had no copy
	Failed   int64         // tasks whose estimator raised, or whose workers died twice
	Retried  int64         // tasks that were sent again because their worker died
	Deaths   int64         // ends of worker processes that were not asked for
	Late     int64         // bags that ended before all their tasks
	Full     int64         // bags that were refused
	Waiting  int           // tasks in the queue
	Up       int           // workers that are up
	Bytes    int64         // of all copies
	Limit    int64         // of Bytes
	LockWait time.Duration // of all goroutines, for the locks of the pool, its queue and the bags
	Prepared int           // classifiers
	ByWorker []WorkerStats
}

// WorkerStats is one worker of a snapshot.
type WorkerStats struct {
	PID    int // 0 while it is down
	Up     bool
	Tasks  int64
	BusyUS int64 // from a batch's frame to its answer
	Homes  int   // classifiers whose home it is
	// Answered is when it last answered tasks, in Unix nanoseconds; 0: never.
	Answered int64
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	c := &p.stats
	s := Stats{Tasks: c.tasks.Load(), Batches: c.batches.Load(), Stolen: c.stolen.Load(), Loads: c.loads.Load(), Evicted: c.evicted.Load(),
		Missed: c.missed.Load(), Failed: c.failed.Load(), Retried: c.retried.Load(), Deaths: c.deaths.Load(), Late: c.late.Load(),
		Full: c.full.Load(), LockWait: time.Duration(c.lockNS.Load()), Limit: p.o.Memory, Waiting: p.queue.len()}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Bytes, s.Prepared = p.memory.bytes(), len(p.classifiers)
	for w, h := range p.workers {
		up := h.isUp.Load()
		if up {
			s.Up++
		}
		s.ByWorker = append(s.ByWorker, WorkerStats{PID: h.process.pid(), Up: up, Tasks: h.tasks.Load(), BusyUS: h.busyUS.Load(), Homes: p.homes[w], Answered: h.answered.Load()})
	}
	return s
}
