package workers

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// handler is a worker's prediction handler: the one goroutine that talks to its process.
type handler struct {
	pool    *Pool
	id      int
	process running
	up      chan error    // room for one: the outcome of the first start
	bell    chan struct{} // room for one: something may be to do
	isUp    atomic.Bool

	tasks, busyUS, answered atomic.Int64

	// Guarded by Pool.mu.
	preloads []*Classifier       // to load when nothing waits
	drops    map[uint32]struct{} // keys that the process has and must drop

	// Only lifeLoop uses these.
	items   []item
	sent    []item // those of items that are in the frame
	frame   batchFrame
	loading map[uint32]*Classifier // of the frame
}

func newHandler(p *Pool, id int) *handler {
	return &handler{pool: p, id: id, up: make(chan error, 1), bell: make(chan struct{}, 1), drops: map[uint32]struct{}{},
		loading: map[uint32]*Classifier{}}
}

// ring wakes the handler if it waits.
func (h *handler) ring() {
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// preload has a classifier loaded that was admitted here. Pool.mu is held.
func (h *handler) preload(c *Classifier) {
	h.preloads = append(h.preloads, c)
	h.ring()
}

// drop has a copy dropped. Pool.mu is held.
func (h *handler) drop(key uint32) {
	h.drops[key] = struct{}{}
	h.ring()
}

// lifeLoop starts the process, again whenever it has died, until the pool closes.
func (h *handler) lifeLoop() {
	p := h.pool
	r := restarts{}
	for first := true; ; first = false {
		r.began = time.Now()
		t, err := p.open("worker", 0, &h.process)
		if first {
			h.up <- err
		}
		if err == nil {
			err = h.serve(t)
			t.end(&h.process)
		}
		select {
		case <-p.stop:
			return
		default:
		}
		wait := r.next(time.Now())
		p.stats.deaths.Add(1)
		p.o.Log.Warn("a worker died; it is started again", "worker", h.id, "wait_ms", wait.Milliseconds(), "error", err)
		select {
		case <-p.stop:
			return
		case <-time.After(wait):
		}
	}
}

// serve feeds the process until it dies, which is an error, or the pool closes.
func (h *handler) serve(t *talk) error {
	p := h.pool
	h.start()
	defer func() {
		h.isUp.Store(false)
		p.queue.setDown(h.id, true)
		p.wake()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.stop:
			t.stopInOrder()
			return nil
		default:
		}
		items, soon := p.queue.take(h.id, p.o.BatchTime, h.items[:0])
		h.items = items
		if len(items) > 0 || h.hasErrands() {
			if len(items) == 1 && items[0].again {
				if err := h.batch(t, nil); err != nil { // the process died before this task, which is not to blame
					p.queue.retry(p.other(h.id), items[0])
					p.wake()
					return err
				}
			}
			if err := h.batch(t, items); err != nil {
				p.again(h.sent, h.id, err)
				return err
			}
			continue
		}
		wait := time.Hour
		if soon { // what waits elsewhere may be stolen once its home is seen to be busy
			wait = p.o.BatchTime
		}
		timer.Reset(wait)
		select {
		case <-h.bell:
		case <-timer.C:
		case <-p.stop:
		case <-t.child.Exited:
			return fmt.Errorf("workers: process %d ended: %w", t.child.PID, errors.Join(t.child.Err, errIdle))
		}
	}
}

var errIdle = errors.New("it was idle")

// start is what a new process begins with: nothing loaded; what had a copy here is loaded again.
func (h *handler) start() {
	p := h.pool
	p.mu.Lock()
	clear(h.drops)
	h.preloads = h.preloads[:0]
	for _, c := range p.classifiers {
		c.copies[h.id].CompareAndSwap(loaded, admitted)
		if c.copies[h.id].Load() == admitted {
			h.preloads = append(h.preloads, c)
		}
	}
	p.mu.Unlock()
	h.isUp.Store(true)
	p.queue.setDown(h.id, false)
}

// hasErrands says whether there is anything to load or drop.
func (h *handler) hasErrands() bool {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	return len(h.preloads) > 0 || len(h.drops) > 0
}
