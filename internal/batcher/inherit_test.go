package batcher

import (
	"context"
	"strings"
	"testing"
)

// taught is a queue, made for a pool whose engines cost so much, that has seen traffic which costs three times as much.
func taught(cost func(rows int) float64, o QueueOptions) *Queue {
	q := &Queue{rowLen: 4, o: o}
	q.calibratedTo(cost)
	for i := range 600 {
		n := 1 + i%o.MaxRows
		q.curve.observe(n, int64(3*cost(n)))
		q.price.observe(n, float64(n), int64(3*cost(n)), n == 1)
		q.arrivals.add(int64(i+1) * 50e3)
	}
	q.holds.inVain(o.MaxRows - 1)
	q.looks.due(1e9)
	return q
}

func (q *Queue) calibratedTo(cost func(rows int) float64) {
	for range 3 {
		for n := 1; n <= q.o.MaxRows; n *= 2 {
			q.curve.observe(n, int64(cost(n)))
			q.price.calibrate(n, int64(cost(n)))
		}
	}
}

// What a version has learnt is where the next begins, if both engines cost much the same.
func TestInherit(t *testing.T) {
	o := QueueOptions{MaxRows: 32}
	from := taught(line(40e3, 3e3), o)
	f := func(name string, to *Queue, cost func(int) float64, want bool) {
		t.Helper()
		to.calibratedTo(cost)
		curve, price := to.curve, to.price
		to.inherit(from)
		got := [...]bool{to.price.all == from.price.all, to.price.alone == from.price.alone, to.arrivals == from.arrivals, to.holds == from.holds, to.looks == from.looks}
		for i, got := range got {
			if got != want {
				t.Errorf("%s: part %d of what was learnt is taken over: %v, want %v", name, i, got, want)
			}
		}
		if to.price.calibrated != price.calibrated {
			t.Errorf("%s: it has lost its own calibration", name)
		}
		is, _ := to.curve.predict(32)
		was, _ := from.curve.predict(32)
		if own, _ := curve.predict(32); want && is != was || !want && is != own {
			t.Errorf("%s: a full batch takes %.0f ns, was %.0f before and %.0f by calibration", name, is, was, own)
		}
		if sizes := to.curve.sizes(); sizes[0].Runs != 3 {
			t.Errorf("%s: %d runs of one row are counted, it has seen 3", name, sizes[0].Runs)
		}
	}
	queue := func(rowLen, maxRows int) *Queue { return &Queue{rowLen: rowLen, o: QueueOptions{MaxRows: maxRows}} }
	f("the same engine", queue(4, 32), line(40e3, 3e3), true)
	f("calibrated in a noisy moment", queue(4, 32), line(70e3, 4e3), true)
	f("rows three times as dear", queue(4, 32), line(40e3, 9e3), false)
	f("runs three times as dear", queue(4, 32), line(130e3, 3e3), false)
	f("rows that cost nothing", queue(4, 32), line(40e3, 0), false)
	f("other rows", queue(5, 32), line(40e3, 3e3), false)
	f("larger batches", queue(4, 64), line(40e3, 3e3), false)
}

// Without calibration nobody knows whether engines are alike. A pool is asked for queues of its own alone, which keep none.
func TestPredecessor(t *testing.T) {
	e := &fakeEngine{}
	inBubble(t, 1, e, QueueOptions{Name: "m/1"}, func(x *bench) {
		second, err := x.p.NewQueue(e, QueueOptions{Name: "m/2", Predecessor: x.q})
		if err != nil {
			t.Fatal(err)
		}
		if s := second.Stats(); s.Settings.Predecessor != nil || s.Curve != nil {
			t.Errorf("it keeps the one before it, or knows what runs cost: %+v", s)
		}
		other, err := NewPool(PoolOptions{Runners: 1, RuntimeTimer: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.NewQueue(e, QueueOptions{Name: "m/3", Predecessor: second})
		if err == nil || !strings.Contains(err.Error(), `"m/2" is another pool's`) {
			t.Errorf("a predecessor in another pool: %v", err)
		}
		if err := other.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
