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

// Pool owns the runner threads and the clock that its queues share. A pool of its own reserves runners for a model.
//
// A queue that has a batch to run is announced here. A runner with nothing to do takes the announced queue that has had
// the least CPU time for its weight (its virtual time), so that a slow model gets its share and no more. A queue that
// comes back after a rest starts at the virtual time of now: rest is not saved up.
type Pool struct {
	o       PoolOptions
	epoch   time.Time
	runners []*runner
	clock   *clock
	tickets sync.Pool // of *Ticket; one a pool, because their channels must not cross test bubbles

	mu       sync.Mutex // guards what follows
	wanted   []*Queue   // announced, and not yet picked
	asleep   []*runner  // waiting, the last to fall asleep on top: its caches are the warmest
	queues   []*Queue
	virtual  float64 // of the queue picked last, ns of CPU time per weight
	busy     int64   // ns run in all
	refusing bool    // no more queues
	closing  bool    // runners end

	load        *load
	idleRunners atomic.Int32 // len(asleep)
	weights     atomicFloat  // the sum of those of the queues that want or have a runner
	panicLog    throttle.Line
	ended       sync.WaitGroup
}

// runner is one of the pool's threads, and the licence to run one batch: a caller may borrow it while the thread sleeps.
type runner struct {
	wake   chan struct{} // room for one: it is woken by whoever took it off asleep
	freeAt atomic.Int64  // when its run is expected to end, ns on the pool's clock; 0 where it runs nothing
}

// share is a queue's standing among the others; the pool's lock guards it.
type share struct {
	virtual   float64
	active    int     // announcements not yet served: wanted, or with a runner
	cpu, wall float64 // of runs whose CPU time was measured, lately, ns
}

// spent is the CPU time of b's runs: that of those for which it was not measured is reckoned from what runs lately took.
func (s *share) spent(b *batch) float64 {
	if b.metered > 0 {
		s.cpu += shareMemory*float64(b.cpu) - shareMemory*s.cpu
		s.wall += shareMemory*float64(b.metered) - shareMemory*s.wall
	}
	rest := float64(b.unmetered)
	if s.wall > 0 {
		rest *= s.cpu / s.wall
	}
	return float64(b.cpu) + rest
}

// shareMemory is the weight of a measured batch.
const shareMemory = 1.0 / 16

// NewPool starts the runners and the clock; Close ends them.
func NewPool(o PoolOptions) (*Pool, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	p := &Pool{load: o.load(), o: o, epoch: time.Now()}
	p.clock = newClock(p, o.RuntimeTimer)
	for range o.Runners {
		p.runners = append(p.runners, &runner{wake: make(chan struct{}, 1)})
	}
	started := make(chan error, o.Runners) // one of each runner
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

// now is the pool's clock: ns since it was made, monotonic, above 0.
func (p *Pool) now() int64 { return int64(time.Since(p.epoch)) + 1 }

// start starts a runner in its thread. started is told whether that is as it should be.
func (p *Pool) start(r *runner, started chan<- error) {
	switch {
	case p.o.Nice > 0:
		host.GoNice(p.o.Nice, func(err error) {
			started <- err
			p.runLoop(r)
		})
	case p.o.FloatingRunners:
		started <- nil
		go p.runLoop(r)
	default:
		started <- nil
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			p.runLoop(r)
		}()
	}
}

// runLoop runs batches until the pool closes.
func (p *Pool) runLoop(r *runner) {
	defer p.ended.Done()
	for q := p.next(r); q != nil; q = p.next(r) {
		if b := q.serve(p.now()); b != nil {
			q.run(b, r)
		}
		p.leave(q)
	}
}

// next is the queue that r serves now; it waits for one. It is nil once the pool closes.
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
		p.sleep(r)
		p.mu.Unlock()
		<-r.wake
		p.mu.Lock()
	}
}

// pick takes the wanted queue with the least virtual time off the list.
func (p *Pool) pick() *Queue {
	if len(p.wanted) == 0 {
		return nil
	}
	best := 0
	for i, q := range p.wanted {
		if q.share.virtual < p.wanted[best].share.virtual {
			best = i
		}
	}
	q := p.wanted[best]
	last := len(p.wanted) - 1
	p.wanted[best] = p.wanted[last]
	p.wanted[last] = nil
	p.wanted = p.wanted[:last]
	p.virtual = max(p.virtual, q.share.virtual)
	return q
}

func (p *Pool) sleep(r *runner) {
	p.asleep = append(p.asleep, r)
	p.idleRunners.Add(1)
}

// rouse takes a sleeping runner off the list, nil if none sleeps.
func (p *Pool) rouse() *runner {
	last := len(p.asleep) - 1
	if last < 0 {
		return nil
	}
	r := p.asleep[last]
	p.asleep = p.asleep[:last]
	p.idleRunners.Add(-1)
	return r
}

// announce says that q wants a runner, and wakes one if one sleeps. q's lock is held.
func (p *Pool) announce(q *Queue) {
	p.mu.Lock()
	q.share.virtual = max(q.share.virtual, p.virtual)
	p.wanted = append(p.wanted, q)
	if q.share.active++; q.share.active == 1 {
		p.addWeight(q.o.Weight)
	}
	r := p.rouse()
	p.mu.Unlock()
	if r != nil {
		r.wake <- struct{}{}
	}
}

// leave says that a runner has done what q was announced for.
func (p *Pool) leave(q *Queue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.share.active--; q.share.active == 0 {
		p.addWeight(-q.o.Weight)
	}
}

func (p *Pool) addWeight(w float64) {
	p.weights.store(p.weights.load() + w)
}

// borrow is a sleeping runner's licence for the caller, nil if none sleeps or others wait for one.
func (p *Pool) borrow() *runner {
	if p.idleRunners.Load() == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wanted) > 0 || p.closing {
		return nil
	}
	return p.rouse()
}

// giveBack returns a borrowed licence: to its thread where there is work, else to sleep.
func (p *Pool) giveBack(r *runner) {
	p.mu.Lock()
	wake := len(p.wanted) > 0 || p.closing
	if !wake {
		p.sleep(r)
	}
	p.mu.Unlock()
	if wake {
		r.wake <- struct{}{}
	}
}

// charge books b's runs to its queue, and ns to the runners.
func (p *Pool) charge(b *batch, ns int64) {
	q := b.q
	p.mu.Lock()
	defer p.mu.Unlock()
	q.share.virtual += q.share.spent(b) / q.o.Weight
	p.busy += ns
}

// untilFree is how long until the first runner is expected to be free, in ns.
func (p *Pool) untilFree(now int64) int64 {
	if p.idleRunners.Load() > 0 {
		return 0
	}
	first := never
	for _, r := range p.runners {
		first = min(first, r.freeAt.Load())
	}
	return max(first-now, 0)
}

// rivalry is by how much others slow q down: the weights of all queues that want or have a runner ÷ q's own.
func (p *Pool) rivalry(q *Queue) float64 {
	return max(p.weights.load()/q.o.Weight, 1)
}

// panicked logs the stack of a panic that was made err. Only the function that recovers calls it.
func (p *Pool) panicked(err error) {
	if held, ok := p.panicLog.Due(time.Now()); ok {
		p.o.Logger.Error("panic recovered", "where", "batcher", "error", err, "stack", string(debug.Stack()), "not_logged", held)
	}
}

// ticket is one with room for n results, and for as many outputs of a width, its other fields to be set.
func (p *Pool) ticket(n, width int) *Ticket {
	t, _ := p.tickets.Get().(*Ticket)
	if t == nil {
		t = &Ticket{wake: make(chan signal, 2), parts: make([]part, 0, 2)}
	}
	if cap(t.results) < n {
		t.results = make([]Result, n, max(n, 16))
	}
	t.results = t.results[:n]
	if cap(t.outputs) < n*width {
		t.outputs = make([]float64, n*width)
	}
	t.outputs = t.outputs[:n*width]
	return t
}

// add lets q take part; false once the pool closes.
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

// snapshot copies the queues into buf.
func (p *Pool) snapshot(buf []*Queue) []*Queue {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(buf[:0], p.queues...)
}

// Stats is what the pool's runners have done.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStats{Runners: len(p.runners), Idle: len(p.asleep), Busy: float64(p.busy) / 1e9, Load: p.load.share()}
}

// Close closes every queue as Queue.Close does, side by side, then ends the runners and the clock. Where ctx ends first,
// the error names what is still out; runners end when their runs do.
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
	for r := p.rouse(); r != nil; r = p.rouse() {
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

// closeGrace is how long Close waits for idle runners to end after its context has.
const closeGrace = 100 * time.Millisecond
