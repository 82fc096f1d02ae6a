package batcher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/host"
	"gavel/internal/throttle"
)

// Pool owns the runner threads and the clock that its queues share. A model with a pool of its own shares no runners.
//
// A queue with a batch to run is announced to the pool, which lists it as runnable. An idle runner takes the runnable
// queue that has the least virtual time, which is the CPU time of its runs ÷ its weight. So a slow model gets its share
// and no more. A queue that becomes runnable after a rest starts at the current virtual time: it saves no time up.
//
// All methods are safe for concurrent use.
type Pool struct {
	o       PoolOptions
	epoch   time.Time
	runners []*runner
	clock   *clock
	tickets sync.Pool // of *Ticket; one for each pool, because their channels must not leave a test's synctest bubble

	mu       sync.Mutex // guards what follows, up to closing
	runnable []*Queue   // announced, and not yet taken by a runner
	idle     []*runner  // a stack: the runner that fell asleep last has the warmest caches
	queues   []*Queue
	virtual  float64 // virtual time of the queue taken last, ns of CPU time ÷ weight
	busy     int64   // wall time of all runs, ns
	refusing bool    // no more queues
	closing  bool    // runners end

	load      *load
	idleCount atomic.Int32 // len(idle), for readers without the lock
	weights   atomicFloat  // sum of the weights of the queues that are runnable or have a runner; stored under mu
	panicLog  throttle.Line
	ended     sync.WaitGroup // runners, the clock and rescues
}

// runner is one of the pool's threads, and the right to run one batch. A caller may borrow an idle runner: it then runs
// a batch itself, and the thread sleeps on.
type runner struct {
	wake   chan struct{} // capacity 1: only who took the runner off the idle stack sends
	freeAt atomic.Int64  // when its run is expected to end, ns on the pool's clock; 0 if it runs nothing
}

// share is a queue's standing among the others. The pool's lock guards it.
type share struct {
	virtual   float64
	active    int     // announcements not yet served: runnable, or with a runner
	cpu, wall float64 // moving means over batches whose CPU time was measured, ns
}

// cpuTime returns the CPU time of b's runs, in ns. For runs without a measurement it uses the recent ratio of CPU time
// to wall time.
func (s *share) cpuTime(b *batch) float64 {
	if b.metered > 0 {
		s.cpu += shareMemory * (float64(b.cpu) - s.cpu)
		s.wall += shareMemory * (float64(b.metered) - s.wall)
	}
	rest := float64(b.unmetered)
	if s.wall > 0 {
		rest *= s.cpu / s.wall
	}
	return float64(b.cpu) + rest
}

// shareMemory is the weight of one batch in the moving means.
const shareMemory = 1.0 / 16

// NewPool starts the runners and the clock; Close ends them. The error says which option is out of range, or that the
// runners could not be made nice.
func NewPool(o PoolOptions) (*Pool, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	p := &Pool{load: o.load(), o: o, epoch: time.Now()}
	p.clock = newClock(p, o.RuntimeTimer)
	for range o.Runners {
		p.runners = append(p.runners, &runner{wake: make(chan struct{}, 1)})
	}
	started := make(chan error, o.Runners) // capacity: one error or nil from each runner
	for _, r := range p.runners {
		p.ended.Add(1)
		p.start(r, started)
	}
	p.ended.Add(1)
	go p.clock.tickLoop()
	var faults []error
	for range p.runners {
		faults = append(faults, <-started)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, errors.Join(fmt.Errorf("batcher: cannot make a pool of runners with nice %d (leave nice out): %w", o.Nice, err),
			p.Close(context.Background()))
	}
	return p, nil
}

// now is the time on the pool's clock: ns since the pool was made, monotonic, above 0.
func (p *Pool) now() int64 { return int64(time.Since(p.epoch)) + 1 }

// start starts r in a thread of its own, and sends to started whether the thread is as nice as it should be.
func (p *Pool) start(r *runner, started chan<- error) {
	if p.o.Nice > 0 {
		host.GoNice(p.o.Nice, func(err error) {
			started <- err
			p.runLoop(r)
		})
		return
	}
	started <- nil
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		p.runLoop(r)
	}()
}

// runLoop runs batches. It ends when the pool closes.
func (p *Pool) runLoop(r *runner) {
	defer p.ended.Done()
	for q := p.next(r); q != nil; q = p.next(r) {
		now := p.now()
		if b := q.serve(now); b != nil {
			q.run(b, r, now)
		}
		p.served(q)
	}
}

// next waits for a runnable queue and returns it, or nil when the pool closes.
func (p *Pool) next(r *runner) *Queue {
	p.mu.Lock()
	for {
		if q := p.pick(); q != nil {
			p.mu.Unlock()
			return q
		}
		if p.closing {
			p.mu.Unlock()
			return nil
		}
		p.pushIdle(r)
		p.mu.Unlock()
		<-r.wake
		p.mu.Lock()
	}
}

// pick removes and returns the runnable queue with the least virtual time, nil if there is none. The lock is held.
func (p *Pool) pick() *Queue {
	if len(p.runnable) == 0 {
		return nil
	}
	best := 0
	for i, q := range p.runnable {
		if q.share.virtual < p.runnable[best].share.virtual {
			best = i
		}
	}
	q := p.runnable[best]
	last := len(p.runnable) - 1
	p.runnable[best] = p.runnable[last]
	p.runnable[last] = nil
	p.runnable = p.runnable[:last]
	p.virtual = max(p.virtual, q.share.virtual)
	return q
}

// pushIdle puts r on the idle stack. The lock is held.
func (p *Pool) pushIdle(r *runner) {
	p.idle = append(p.idle, r)
	p.idleCount.Add(1)
}

// popIdle takes the runner that fell asleep last, nil if none is idle. The lock is held.
func (p *Pool) popIdle() *runner {
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	r := p.idle[last]
	p.idle = p.idle[:last]
	p.idleCount.Add(-1)
	return r
}

// announce makes q runnable and wakes an idle runner, if there is one. q's lock is held.
func (p *Pool) announce(q *Queue) {
	p.mu.Lock()
	q.share.virtual = max(q.share.virtual, p.virtual)
	p.runnable = append(p.runnable, q)
	if q.share.active++; q.share.active == 1 {
		p.addWeight(q.o.Weight)
	}
	r := p.popIdle()
	p.mu.Unlock()
	if r != nil {
		r.wake <- struct{}{}
	}
}

// served ends one announcement of q.
func (p *Pool) served(q *Queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.share.active--; q.share.active == 0 {
		p.addWeight(-q.o.Weight)
	}
}

func (p *Pool) addWeight(w float64) {
	p.weights.store(p.weights.load() + w)
}

// borrow returns an idle runner, whose thread sleeps on. It returns nil if none is idle or a queue waits for one.
func (p *Pool) borrow() *runner {
	if p.idleCount.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.runnable) > 0 || p.closing {
		return nil
	}
	return p.popIdle()
}

// giveBack ends a loan. The runner's thread wakes if there is work.
func (p *Pool) giveBack(r *runner) {
	p.mu.Lock()
	wake := len(p.runnable) > 0 || p.closing
	if !wake {
		p.pushIdle(r)
	}
	p.mu.Unlock()
	if wake {
		r.wake <- struct{}{}
	}
}

// charge adds the CPU time of b's runs to its queue's virtual time, and their wall time, ns, to the pool's.
func (p *Pool) charge(b *batch, ns int64) {
	q := b.q
	p.mu.Lock()
	defer p.mu.Unlock()
	q.share.virtual += q.share.cpuTime(b) / q.o.Weight
	p.busy += ns
}

// untilFree predicts how long it takes until a runner is free, in ns.
func (p *Pool) untilFree(now int64) int64 {
	if p.idleCount.Load() > 0 {
		return 0
	}
	first := never
	for _, r := range p.runners {
		first = min(first, r.freeAt.Load())
	}
	return max(first-now, 0)
}

// contention is the factor by which other queues slow q down: the sum of the weights of all queues that are runnable or
// have a runner ÷ q's weight, at least 1.
func (p *Pool) contention(q *Queue) float64 {
	return max(p.weights.load()/q.o.Weight, 1)
}

// panicked logs err, which was made of a panic, with its stack. Only the function that recovers may call it.
func (p *Pool) panicked(err error) {
	if held, ok := p.panicLog.Due(time.Now()); ok {
		p.o.Logger.Error("panic recovered", "where", "batcher", "error", err, "stack", string(debug.Stack()), "not_logged", held)
	}
}

// newTicket returns a ticket with n empty results and n × width outputs. The caller sets its other fields.
func (p *Pool) newTicket(n, width int) *Ticket {
	t, _ := p.tickets.Get().(*Ticket)
	if t == nil {
		t = &Ticket{wake: make(chan signal, 2), parts: make([]part, 0, 2)}
	}
	t.results = slices.Grow(t.results[:0], n)[:n]
	t.outputs = slices.Grow(t.outputs[:0], n*width)[:n*width]
	return t
}

// add registers q. It returns false once the pool closes.
func (p *Pool) add(q *Queue) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing {
		return false
	}
	p.queues = append(p.queues, q)
	return true
}

func (p *Pool) remove(q *Queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queues, q); i >= 0 {
		p.queues = slices.Delete(p.queues, i, i+1)
	}
}

// snapshot copies the list of queues into buf and returns it.
func (p *Pool) snapshot(buf []*Queue) []*Queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(buf[:0], p.queues...)
}

// Stats says what the pool's runners have done.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStats{Runners: len(p.runners), Idle: len(p.idle), Busy: float64(p.busy) / 1e9, Load: p.load.share()}
}

// Close closes all queues concurrently, as Queue.Close does, then ends the runners and the clock. If ctx ends first, the
// error names what is still in use; runners then end when their runs do.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.refusing = true
	p.mu.Unlock()
	queues := p.snapshot(nil)
	faults := make([]error, len(queues)+1)
	var closing sync.WaitGroup
	for i, q := range queues {
		closing.Go(func() { faults[i] = q.Close(ctx) })
	}
	closing.Wait()

	p.mu.Lock()
	p.closing = true
	for r := p.popIdle(); r != nil; r = p.popIdle() {
		r.wake <- struct{}{}
	}
	p.mu.Unlock()
	p.clock.stop()
	ended := make(chan struct{})
	go func() { p.ended.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		select {
		case <-ended:
		case <-time.After(closeGrace):
			faults[len(queues)] = fmt.Errorf("batcher: cannot end every runner in time: %w", context.Cause(ctx))
		}
	}
	return errors.Join(faults...)
}

// closeGrace is how long Close waits for idle runners to end after its context has ended.
const closeGrace = 100 * time.Millisecond
