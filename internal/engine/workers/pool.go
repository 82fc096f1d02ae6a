package workers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// What callers branch on.
var (
	// ErrFull: so many tasks wait that these would not be scored in time.
	ErrFull = errors.New("workers: the queue is full (queue_tasks)")
	// ErrClosed: the pool is closed.
	ErrClosed = errors.New("workers: the pool is closed")
)

// Pool owns the worker processes and the classifiers in them. Its methods are safe for concurrent use.
type Pool struct {
	o       Options
	dir     string // of prepared files
	costs   *costs
	queue   queue
	workers []*handler
	readers []*preparer
	sources chan *preparation  // to the preparers
	wanted  chan []*Classifier // missed classifiers, to admitLoop; a few requests' are remembered, the others' next time

	mu          lock // guards what follows
	memory      *memory
	classifiers map[uint32]*Classifier
	homes       []int // classifiers by home
	lastKey     uint32
	lastRetry   int

	waiting  atomic.Int64 // tasks of bags that run
	stats    counters
	stop     chan struct{} // closed by Close: loops end
	closing  sync.Once
	loops    sync.WaitGroup
	closeErr error
}

// Start starts the processes and waits until all of them said hello. ctx bounds the start alone. The caller must Close the
// pool.
func Start(ctx context.Context, o Options) (*Pool, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	p := &Pool{o: o, costs: newCosts(), sources: make(chan *preparation), wanted: make(chan []*Classifier, 8),
		classifiers: map[uint32]*Classifier{}, homes: make([]int, o.Workers), stop: make(chan struct{})}
	p.mu.waited = &p.stats.lockNS
	if p.memory, err = newMemory(o.Memory); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp(o.CacheDir, "gavel-workers-"); err != nil { // of mode 0700
		return nil, fmt.Errorf("workers: cannot make a directory for prepared files (cache_dir): %w", err)
	}
	if p.dir, err = filepath.Abs(p.dir); err != nil {
		return nil, fmt.Errorf("workers: cannot name the directory for prepared files: %w", err)
	}
	if o.Dealing {
		p.queue = newDealt(o.Workers, p.costs, &p.stats.lockNS)
	} else {
		p.queue = newShared(o.Workers, o.StealAfter, p.costs, &p.stats.lockNS)
	}
	for w := range o.Workers {
		p.workers = append(p.workers, newHandler(p, w))
	}
	for range o.Preparers {
		p.readers = append(p.readers, &preparer{pool: p, up: make(chan error, 1)})
	}
	for _, h := range p.workers {
		p.loops.Go(h.lifeLoop)
	}
	for _, r := range p.readers {
		p.loops.Go(r.lifeLoop)
	}
	p.loops.Go(p.admitLoop)
	ups := make([]chan error, 0, o.Workers+o.Preparers)
	for _, h := range p.workers {
		ups = append(ups, h.up)
	}
	for _, r := range p.readers {
		ups = append(ups, r.up)
	}
	for _, up := range ups {
		select {
		case err = <-up:
		case <-ctx.Done():
			err = fmt.Errorf("workers: the processes did not start in time: %w", context.Cause(ctx))
		}
		if err != nil {
			return nil, errors.Join(err, p.Close(context.WithoutCancel(ctx)))
		}
	}
	return p, nil
}

// Close ends all bags, stops the processes in order, and removes the prepared files. Processes that have not ended when ctx
// ends are killed.
func (p *Pool) Close(ctx context.Context) error {
	p.closing.Do(func() {
		inTime := context.AfterFunc(ctx, func() {
			for _, h := range p.workers {
				h.process.kill()
			}
			for _, r := range p.readers {
				r.process.kill()
			}
		})
		defer inTime()
		close(p.stop)
		p.loops.Wait()
		p.closeErr = os.RemoveAll(p.dir)
	})
	return p.closeErr
}

// Prepare reads and checks an estimator, gives it a home, and asks for room there. It waits for the preparer: call it off
// the serving path. An estimator that asks for more memory than all may have is refused.
func (p *Pool) Prepare(ctx context.Context, s Source) (*Classifier, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := checkFile(&s); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.lastKey++
	key := p.lastKey
	p.mu.Unlock()
	file := filepath.Join(p.dir, fmt.Sprintf("%d", key))
	answer, err := p.read(ctx, &s, file)
	if err != nil {
		return nil, err
	}
	c := &Classifier{name: s.Name, key: key, file: file, bytes: answer.Bytes, labels: answer.Labels, outputs: 1, width: s.Width,
		rows: s.Rows, columns: s.Columns, copies: make([]atomic.Uint32, len(p.workers))}
	if s.Positive < 0 {
		c.outputs = len(answer.Labels)
	}
	if c.bytes > p.o.Memory {
		_ = os.Remove(file)
		return nil, fmt.Errorf("workers: %s takes %d bytes, all classifiers may have %d (memory)", s.Name, c.bytes, p.o.Memory)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.homes {
		if p.homes[w] < p.homes[c.home] {
			c.home = w
		}
	}
	p.homes[c.home]++
	p.classifiers[key] = c
	p.admit([]*Classifier{c})
	return c, nil
}

// Remove forgets a classifier. Its tasks that wait are scored or Missed.
func (p *Pool) Remove(c *Classifier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.removed.Swap(true) {
		return
	}
	delete(p.classifiers, c.key)
	p.homes[c.home]--
	for w := range c.copies {
		if c.copies[w].Load() != absent {
			p.memory.forget(c, w)
			p.takeAway(c, w)
		}
	}
	_ = os.Remove(c.file) // Close removes what is left
}

// admit asks for room at home for classifiers without a copy, and has those loaded that got it. p.mu is held.
func (p *Pool) admit(all []*Classifier) {
	var asked []*Classifier
	for _, c := range all {
		if c.removed.Load() || c.resident() {
			continue
		}
		p.memory.ask(c, c.home)
		c.copies[c.home].Store(admitted)
		asked = append(asked, c)
	}
	p.settle()
	for _, c := range asked {
		if c.copies[c.home].Load() == admitted {
			p.workers[c.home].preload(c)
		}
	}
}

// settle takes away what the policy evicted. p.mu is held.
func (p *Pool) settle() {
	for _, e := range p.memory.settle() {
		if c := p.classifiers[e.key]; c != nil {
			p.takeAway(c, e.worker)
			p.stats.evicted.Add(1)
		}
	}
}

// takeAway has a worker drop its copy. p.mu is held.
func (p *Pool) takeAway(c *Classifier, w int) {
	if c.copies[w].Swap(absent) == loaded {
		p.workers[w].drop(c.key)
	}
}

// admitLoop asks for room for what was missed, off the serving path. It ends when the pool closes.
func (p *Pool) admitLoop() {
	for {
		select {
		case all := <-p.wanted:
			p.mu.Lock()
			p.admit(all)
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

// Run scores a bag. It returns when every task has an outcome, or when ctx ends, which is no error: tasks that were not
// scored by then are Pending. Give ctx an end that leaves time to use the results. It returns ErrFull or ErrClosed if it
// scored nothing.
func (p *Pool) Run(ctx context.Context, b *Bag) error {
	n := b.Len()
	if p.waiting.Add(int64(n)) > int64(p.o.QueueTasks) {
		p.waiting.Add(int64(-n))
		p.stats.full.Add(1)
		return ErrFull
	}
	defer p.waiting.Add(int64(-n))
	b.begin(&p.stats.lockNS)
	p.queue.push(b, p.sort(b))
	p.wake()
	select {
	case <-b.done:
	default:
		select {
		case <-b.done:
		case <-ctx.Done():
			p.stats.late.Add(1)
		case <-p.stop:
			b.seal()
			return ErrClosed
		}
	}
	b.seal()
	p.queue.remove(b)
	return nil
}

// sort ends the tasks that cannot be scored, and returns the others by home.
func (p *Pool) sort(b *Bag) [][]int32 {
	tasks := make([][]int32, len(p.workers))
	var missed []*Classifier
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for t, c := range b.classifiers {
		if c.refused.Load() != 0 {
			if why := c.refusal(now); why != "" {
				b.end(t, Failed, why)
				continue
			}
		}
		if c.removed.Load() || !c.resident() {
			b.end(t, Missed, "")
			if !c.removed.Load() {
				missed = append(missed, c)
			}
			continue
		}
		if why := b.fault(t); why != "" {
			b.end(t, Failed, why)
			continue
		}
		w := c.place()
		p.memory.use(c, w)
		tasks[w] = append(tasks[w], int32(t))
	}
	p.settle() // uses alone evict nothing; what earlier asked may be settled now
	if len(missed) > 0 {
		p.stats.missed.Add(int64(len(missed)))
		select {
		case p.wanted <- missed:
		default: // admitLoop is behind; they are missed again
		}
	}
	return tasks
}

// wake lets all handlers look at the queue.
func (p *Pool) wake() {
	for _, h := range p.workers {
		h.ring()
	}
}

// again tries tasks once more whose worker has died, each alone and on another worker if one is up.
func (p *Pool) again(items []item, died int, why error) {
	now := time.Now()
	for _, it := range items {
		c := it.classifier()
		if it.again {
			c.refused.Store(now.Add(p.o.Refuse).UnixNano())
			p.o.Log.Error("two workers died while they scored a classifier; it is refused for a while", "classifier", c.name,
				"refused_s", p.o.Refuse.Seconds(), "error", why)
			p.stats.failed.Add(1)
			it.bag.fail(it.task, fmt.Sprintf("%s: two workers died while they scored it: %v", c.name, why))
			continue
		}
		p.stats.retried.Add(1)
		it.again = true
		p.queue.retry(p.other(died), it)
	}
	p.wake()
}

// other returns a worker that is up and not w, or w if there is none.
func (p *Pool) other(w int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.workers {
		p.lastRetry = (p.lastRetry + 1) % len(p.workers)
		if p.lastRetry != w && p.workers[p.lastRetry].isUp.Load() {
			return p.lastRetry
		}
	}
	return w
}
