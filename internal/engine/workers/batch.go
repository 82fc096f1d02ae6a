package workers

import "time"

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
