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

// batch sends tasks with what has to be loaded for them; without tasks, it loads what will be needed. An error means that the
// process is not to be used any more.
func (h *handler) batch(t *talk, items []item) error {
	p := h.pool
	h.fill(items)
	sent := h.sent
	data, err := t.frames.batch(&h.frame)
	if err != nil {
		return h.refuse(sent, err)
	}
	began := time.Now()
	if err := t.send(data, p.o.AnswerTimeout); err != nil {
		return h.lost(err)
	}
	a, err := t.answer(p.o.AnswerTimeout, "scored")
	if err != nil {
		return h.lost(err)
	}
	took := time.Since(began)
	if len(sent) > 0 {
		h.answered.Store(time.Now().UnixNano())
	}
	h.busyUS.Add(took.Microseconds())
	failed, err := h.check(sent, a)
	if err != nil {
		return h.lost(err)
	}
	h.loads(a, len(sent), took)
	h.store(sent, a, failed)
	return nil
}

// fill makes the frame, and sent.
func (h *handler) fill(items []item) {
	p, f := h.pool, &h.frame
	f.reset()
	f.seq++
	clear(h.loading)
	p.mu.Lock()
	defer p.mu.Unlock()
	h.sent = h.sent[:0]
	values := false
	for _, it := range items {
		c := it.classifier()
		if it.bag.sealed.Load() {
			continue // its request has its answer
		}
		if c.removed.Load() {
			it.bag.mu.Lock()
			it.bag.end(it.task, Missed, "")
			it.bag.mu.Unlock()
			continue
		}
		h.need(c)
		if c.home != h.id {
			p.stats.stolen.Add(1)
		}
		h.sent = append(h.sent, it)
		values = values || len(it.bag.values) > 0
	}
	if len(h.sent) == 0 {
		h.errands()
	}
	p.settle()
	for _, c := range h.loading {
		f.load = append(f.load, load{c.key, c.file})
		if c.copies[h.id].Load() == absent {
			f.drop = append(f.drop, c.key) // there is no room for it to stay
		}
	}
	for key := range h.drops {
		f.drop = append(f.drop, key)
	}
	clear(h.drops)
	for i, it := range h.sent {
		row, rowValues := it.bag.row(it.task)
		f.keys = append(f.keys, it.classifier().key)
		f.indices = append(f.indices, row...)
		f.ends = append(f.ends, uint32(len(f.indices)))
		if values {
			f.values = appendValues(f.values, rowValues, len(row))
		}
		if row := it.bag.table(it.task); row != nil {
			f.tables = append(f.tables, table{i, row})
		}
	}
}

// appendValues appends n values, which are 1 where none are given.
func appendValues(to, values []float64, n int) []float64 {
	if len(values) > 0 {
		return append(to, values...)
	}
	for range n {
		to = append(to, 1)
	}
	return to
}

// need has a classifier loaded before the frame's tasks if the process does not have it. Pool.mu is held.
func (h *handler) need(c *Classifier) {
	state := c.copies[h.id].Load()
	if state == loaded || h.loading[c.key] != nil {
		return
	}
	if state == absent {
		c.copies[h.id].Store(admitted)
		h.pool.memory.ask(c, h.id)
	}
	h.loading[c.key] = c
	delete(h.drops, c.key)
}

// errands takes what is to be loaded, about as much as a batch takes. Pool.mu is held.
func (h *handler) errands() {
	most := max(1, int(float64(h.pool.o.BatchTime.Microseconds())/float64(h.pool.costs.load())))
	for len(h.preloads) > 0 && len(h.loading) < most {
		c := h.preloads[0]
		if c.suspect.Load() {
			if len(h.loading) > 0 {
				return
			}
			most = 1
		}
		h.preloads[0] = nil
		h.preloads = h.preloads[1:]
		if c.copies[h.id].Load() == admitted && !c.removed.Load() {
			h.need(c)
		}
	}
}

// refuse ends tasks that no frame can hold. The process is well.
func (h *handler) refuse(sent []item, err error) error {
	h.unload()
	if len(sent) == 1 {
		sent[0].bag.fail(sent[0].task, err.Error())
		return nil
	}
	for _, it := range sent { // one of them may be too long; each goes alone
		it.again = true
		h.pool.queue.retry(h.id, it)
	}
	h.ring()
	return nil
}

// lost is called when the process died. Tasks are tried again, and their classifiers with them. Where it died of loads alone,
// each of these is a suspect, which is loaded alone from then on; one that was loaded alone is refused for a while.
func (h *handler) lost(err error) error {
	if len(h.sent) > 0 {
		return err
	}
	h.unload()
	for _, c := range h.loading {
		if len(h.loading) == 1 {
			c.refused.Store(time.Now().Add(h.pool.o.Refuse).UnixNano())
			h.pool.o.Log.Error("a worker died while it loaded a classifier; it is refused for a while", "classifier", c.name, "error", err)
		}
		c.suspect.Store(true)
	}
	return err
}

// unload takes back the room of what was to be loaded.
func (h *handler) unload() {
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	for _, c := range h.loading {
		c.copies[h.id].Store(absent)
		h.pool.memory.forget(c, h.id)
	}
}

// check compares an answer with what was sent, and returns the tasks that failed.
func (h *handler) check(sent []item, a *answer) (failed map[int]string, err error) {
	bad := func(what string) error {
		return fmt.Errorf("workers: worker %d's answer to %d tasks is wrong: %s", h.id, len(sent), what)
	}
	if a.Seq != h.frame.seq {
		return nil, bad(fmt.Sprintf("it is number %d, awaited was %d", a.Seq, h.frame.seq))
	}
	if len(a.US) != 4*len(sent) {
		return nil, bad("its times")
	}
	failed = map[int]string{}
	for _, f := range a.Faults {
		if int64(f.Of) >= int64(len(sent)) {
			return nil, bad("its faults")
		}
		failed[int(f.Of)] = f.Text
	}
	want := 0
	for i, it := range sent {
		if _, bad := failed[i]; !bad {
			want += it.classifier().outputs
		}
	}
	if len(a.P) != 8*want {
		return nil, bad(fmt.Sprintf("it has %d bytes of probabilities, not %d", len(a.P), 8*want))
	}
	return failed, nil
}

// loads notes what was loaded and what was not.
func (h *handler) loads(a *answer, tasks int, took time.Duration) {
	p := h.pool
	if len(h.loading) == 0 {
		return
	}
	if tasks == 0 {
		p.costs.learnLoad(float32(took.Microseconds()) / float32(len(h.loading)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range a.Loads {
		c := h.loading[l.Of]
		switch {
		case c == nil:
		case l.Text == "":
			p.stats.loads.Add(1)
			temporary := false
			for _, key := range h.frame.drop {
				temporary = temporary || key == l.Of
			}
			if !c.copies[h.id].CompareAndSwap(admitted, loaded) && !temporary {
				h.drop(c.key) // it lost its room meanwhile
			}
		case c.copies[h.id].Swap(absent) != absent:
			p.memory.forget(c, h.id)
			if !c.removed.Load() {
				c.refused.Store(time.Now().Add(p.o.Refuse).UnixNano())
				p.o.Log.Error("a worker cannot load a classifier; it is refused for a while", "classifier", c.name, "error", l.Text)
			}
		}
	}
}

// store puts results in their place.
func (h *handler) store(sent []item, a *answer, failed map[int]string) {
	if len(sent) == 0 {
		return
	}
	p := h.pool
	h.tasks.Add(int64(len(sent)))
	p.stats.batches.Add(1)
	p.stats.tasks.Add(int64(len(sent) - len(failed)))
	at, sum := 0, float32(0)
	var held *Bag
	for i, it := range sent {
		c := it.classifier()
		if it.bag != held {
			if held != nil {
				held.mu.Unlock()
			}
			held = it.bag
			held.mu.Lock()
		}
		if why, bad := failed[i]; bad {
			if c.removed.Load() { // while its batch was under way
				held.end(it.task, Missed, "")
				continue
			}
			p.stats.failed.Add(1)
			held.end(it.task, Failed, c.name+": "+why)
			continue
		}
		c.took(a.us(i))
		sum += a.us(i)
		held.put(it.task, a, at)
		at += c.outputs
	}
	held.mu.Unlock()
	if n := len(sent) - len(failed); n > 0 {
		p.costs.learnTask(sum / float32(n))
	}
}
