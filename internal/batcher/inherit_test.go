package batcher

import (
	"context"
	"strings"
	"testing"
	"time"
)

// taught is a queue whose engine costs so much, by calibration, and so many times that in traffic.
func taught(cost func(rows int) float64, times float64) *Queue {
	q := &Queue{rowLen: 4, o: QueueOptions{MaxRows: 32}}
	q.calibratedTo(cost)
	for i := range 600 {
		n := 1 + i%q.o.MaxRows
		ns := int64(times * cost(n))
		q.curve.observe(n, ns)
		q.price.observe(n, float64(n), ns, n == 1)
		q.arrivals.add(int64(i+1) * 50e3)
	}
	q.holds.inVain(q.o.MaxRows - 1)
	return q
}

func (q *Queue) calibratedTo(cost func(rows int) float64) {
	q.price = *calibratedPrice(cost)
	q.curve = q.price.calibrated
}

// What a version has learnt is where the next begins, if both engines cost much the same.
func TestInherit(t *testing.T) {
	from := taught(line(40e3, 3e3), 1.5)
	f := func(name string, rowLen, maxRows int, cost func(int) float64, want bool) {
		t.Helper()
		q := &Queue{rowLen: rowLen, o: QueueOptions{MaxRows: maxRows}}
		q.calibratedTo(cost)
		curve, calibrated := q.curve, q.price.calibrated
		q.inherit(from)
		for part, got := range map[string]bool{
			"a run's cost":   q.price.all.value == from.price.all.value,
			"its rows":       q.price.rows.value == from.price.rows.value,
			"its claims":     q.price.claims.value == from.price.claims.value,
			"a claim's cost": q.price.alone.value == from.price.alone.value,
			"the pace":       q.arrivals == from.arrivals,
			"holds":          q.holds == from.holds,
		} {
			if got != want {
				t.Errorf("%s: %s is taken over: %v, want %v", name, part, got, want)
			}
		}
		if q.price.all.seen > enough || q.price.alone.seen > enough {
			t.Errorf("%s: it is as sure as if it had seen %d runs, and %d of one claim", name, q.price.all.seen, q.price.alone.seen)
		}
		if q.price.calibrated != calibrated {
			t.Errorf("%s: it has lost its own calibration", name)
		}
		is, _ := q.curve.predict(32)
		was, _ := from.curve.predict(32)
		if own, _ := curve.predict(32); want && is != was || !want && is != own {
			t.Errorf("%s: a full batch takes %.0f ns, was %.0f before and %.0f by calibration", name, is, was, own)
		}
		if sizes := q.curve.sizes(); sizes[0].Runs != 3 {
			t.Errorf("%s: %d runs of one row are counted, it has seen 3", name, sizes[0].Runs)
		}
	}
	f("the same engine", 4, 32, line(40e3, 3e3), true)
	f("calibrated in a noisy moment", 4, 32, line(70e3, 4e3), true)
	f("rows three times as dear", 4, 32, line(40e3, 9e3), false)
	f("runs three times as dear", 4, 32, line(130e3, 3e3), false)
	f("rows that cost nothing", 4, 32, line(40e3, 0), false)
	f("other rows", 5, 32, line(40e3, 3e3), false)
	f("larger batches", 4, 64, line(40e3, 3e3), false)
}

// That a claim alone is far too dear is forgotten by the next version: looks may tell.
func TestInheritNoDearClaim(t *testing.T) {
	from, q := taught(line(40e3, 3e3), 1), &Queue{rowLen: 4, o: QueueOptions{MaxRows: 32}}
	from.price.alone = average{1000, 2.1 * line(40e3, 3e3)(1)}
	q.calibratedTo(line(40e3, 3e3))
	q.inherit(from)
	if q.price.all.value != from.price.all.value {
		t.Error("what a run costs is not taken over")
	}
	near(t, "a claim alone", q.price.ofOne(), line(40e3, 3e3)(1))
	if q.price.sure() {
		t.Error("it is sure of what a claim alone costs")
	}
}

// A new queue asks the one before it, open or closed, keeps it not, and knows nothing where it was not calibrated.
func TestPredecessor(t *testing.T) {
	e := &fakeEngine{cost: func(n int) time.Duration { return time.Duration(line(40e3, 3e3)(n)) }}
	o := QueueOptions{Name: "m/1", MaxRows: 8, Policy: Eager, CalibrationRuns: 3}
	inBubble(t, 1, e, o, func(x *bench) {
		for id := range 2 * enough {
			x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
		}
		learnt := x.q.price.all.value
		next := func(name string, calibrations int, want float64) {
			t.Helper()
			q, err := x.p.NewQueue(e, QueueOptions{Name: name, MaxRows: 8, CalibrationRuns: calibrations, Predecessor: x.q})
			if err != nil {
				t.Fatal(err)
			}
			if q.price.all.value != want || q.arrivals != x.q.arrivals && want > 0 {
				t.Errorf("%s begins with %v ns a run, want %v", name, q.price.all.value, want)
			}
			if q.Stats().Settings.Predecessor != nil {
				t.Errorf("%s keeps the one before it", name)
			}
		}
		if learnt == 0 {
			t.Fatal("nothing was learnt")
		}
		next("m/2", 3, learnt)
		next("m/3", 0, 0)
		if err := x.q.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		next("m/4", 3, learnt)
	})
}

func TestPredecessorInAnotherPool(t *testing.T) {
	e := &fakeEngine{}
	inBubble(t, 1, e, QueueOptions{Name: "m/1"}, func(x *bench) {
		other, err := NewPool(PoolOptions{Runners: 1, RuntimeTimer: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.NewQueue(e, QueueOptions{Name: "m/2", Predecessor: x.q})
		if err == nil || !strings.Contains(err.Error(), `"m/1" is another pool's`) {
			t.Errorf("a predecessor in another pool: %v", err)
		}
		if err := other.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
