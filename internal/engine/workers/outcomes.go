package workers

import (
	"fmt"
	"slices"
	"time"
)

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
			if slices.Contains(h.frame.drop, l.Of) {
				break // the process has dropped it again, even if it was given room meanwhile
			}
			if !c.copies[h.id].CompareAndSwap(admitted, loaded) {
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
