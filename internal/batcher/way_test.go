package batcher

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const us = time.Microsecond

// costing is an engine whose runs take fixed and each a row.
func costing(fixed, each time.Duration) *fakeEngine {
	return &fakeEngine{cost: func(n int) time.Duration { return fixed + time.Duration(n)*each }}
}

// The queue takes a claim in by its engine's cost curve.
func TestWay(t *testing.T) {
	f := func(name string, fixed, each time.Duration, o QueueOptions, n int, want way) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			o.CalibrationRuns = 4
			if o.MaxRows == 0 {
				o.MaxRows = 64
			}
			inBubble(t, 2, costing(fixed, each), o, func(x *harness) {
				x.q.mu.Lock()
				defer x.q.mu.Unlock()
				if got := x.q.way(n); got != want {
					t.Errorf("%d rows: %+v, want %+v", n, got, want)
				}
			})
		})
	}
	adaptive, eager, window, off := QueueOptions{}, QueueOptions{Policy: Eager}, QueueOptions{Policy: Window}, QueueOptions{Policy: Off}
	f("one row", 2*us, 5*us, adaptive, 1, way{alone, 64})
	f("what fits in a chunk", 2*us, 5*us, adaptive, 39, way{alone, 64})
	f("more batches than one, in the time of one chunk", 0, us, adaptive, 200, way{alone, 64})
	f("many rows", 2*us, 5*us, adaptive, 1000, way{chunked, 39})
	f("many quick rows", 2*us, us, adaptive, 1000, way{chunked, 64})
	f("a row that takes longer than a chunk", 0, 300*us, adaptive, 1, way{joins, 64})
	f("two of them", 0, 300*us, adaptive, 2, way{chunked, 1})
	f("joining pays", 4*us, 5*us, adaptive, 1, way{joins, 64})
	f("joining pays, many rows", 40*us, 5*us, adaptive, 1000, way{chunked, 32})
	f("a large fixed cost makes larger chunks", 100*us, 10*us, adaptive, 1000, way{chunked, 30})
	f("eager", 2*us, 5*us, eager, 1, way{joins, 64})
	f("eager, many rows", 2*us, 5*us, eager, 1000, way{chunked, 39})
	f("window", 2*us, 5*us, window, 1000, way{joins, 64})
	f("off", 100*us, 5*us, off, 1000, way{alone, 64})
}

// Where a run has a small fixed cost, claims join while others are expected during a run.
func TestWayByCompany(t *testing.T) {
	f := func(name string, fixed, gap time.Duration, n int, want how) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, costing(fixed, 5*us), QueueOptions{MaxRows: 64, CalibrationRuns: 4}, func(x *harness) {
				x.q.mu.Lock()
				defer x.q.mu.Unlock()
				if gap > 0 {
					x.q.arrivals.rate = 1 / float64(gap)
				}
				if got := x.q.way(n).how; got != want {
					t.Errorf("%d rows: %v, want %v", n, got, want)
				}
			})
		})
	}
	f("nothing is known of others", 10*us, 0, 1, joins)
	f("others come seldom", 10*us, 15*us, 1, alone)
	f("others come while it runs", 10*us, 14*us, 1, joins)
	f("they come while more rows run", 10*us, 15*us, 2, joins)
	f("others come often, but joining costs more than it saves", 2*us, us, 1, alone)
	f("a batch is worth waiting for", 20*us, time.Second, 1, joins)
	f("many rows", 10*us, time.Second, 40, chunked)
}

// While a request of many rows runs on every runner, small ones whose runs have a fixed cost run at once, if they come one by one.
func TestSmallCostlyClaimsBesideChunks(t *testing.T) {
	inBubble(t, 1, costing(10*us, 10*us), QueueOptions{MaxRows: 64, CalibrationRuns: 4}, func(x *harness) {
		for id := range 3 { // from which the queue learns how seldom they come
			x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
			time.Sleep(time.Millisecond)
		}
		many := x.claim(100, 400, time.Time{}, rowFine)
		many.Commit()
		synctest.Wait()
		for id := range 3 {
			begun := time.Now()
			x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
			if d := time.Since(begun); d != 20*us {
				t.Errorf("a row was answered after %v, want 20us", d)
			}
			time.Sleep(time.Millisecond)
		}
		x.wait(many, 100)
	})
}

// While a request of many rows runs on every runner, small ones run at once in their callers. A request that has begun ends
// before the next.
func TestSmallClaimsBesideChunks(t *testing.T) {
	inBubble(t, 1, costing(0, 10*us), QueueOptions{MaxRows: 64, QueueRows: 400, CalibrationRuns: 4}, func(x *harness) {
		calibrated, _ := x.e.runs()
		start := time.Now()
		var all sync.WaitGroup
		ends := func(id, n int, want time.Duration) {
			tk := x.claim(id, n, time.Time{}, rowFine)
			tk.Commit()
			all.Go(func() {
				x.wait(tk, id)
				if d := time.Since(start); d != want {
					t.Errorf("%d rows from %d were answered after %v, want %v", n, id, d, want)
				}
			})
			synctest.Wait()
		}
		ends(0, 200, 2*time.Millisecond)
		ends(200, 190, 3900*us)
		for i := range 20 { // the queue has room for 10 more rows, and these need none
			begun := time.Now()
			x.wait(x.claim(400+i, 1, begun.Add(15*us), rowFine), 400+i)
			if d := time.Since(begun); d != 10*us {
				t.Errorf("a row was answered after %v, want 10us", d)
			}
		}
		all.Wait()
		sizes, _ := x.e.runs()
		for _, n := range sizes[len(calibrated):] {
			if n > 20 {
				t.Errorf("a run of %d rows, want at most the 20 that take 200us", n)
			}
		}
		if s := x.q.Stats(); s.Inline != 20 || s.Batches != 40 {
			t.Errorf("%d batches, %d run by their callers; want 40 and 20", s.Batches, s.Inline)
		}
	})
}

// Where joining pays, small claims share a batch, which runs after the chunk that is running.
func TestJoinedClaimsBetweenChunks(t *testing.T) {
	inBubble(t, 1, costing(50*us, 10*us), QueueOptions{MaxRows: 16, CalibrationRuns: 4, RescueAfter: -1}, func(x *harness) {
		calibrated, _ := x.e.runs()
		start := time.Now()
		many := x.claim(0, 60, time.Time{}, rowFine)
		many.Commit()
		synctest.Wait()
		time.Sleep(100 * us)
		var all sync.WaitGroup
		for id := 60; id < 63; id++ {
			all.Go(func() {
				x.wait(x.claim(id, 1, time.Time{}, rowFine), id)
				if d := time.Since(start); d != 280*us {
					t.Errorf("row %d was answered after %v, want 280us: the chunk, and a run of three", id, d)
				}
			})
		}
		all.Wait()
		x.wait(many, 0)
		sizes, _ := x.e.runs()
		if got, want := sizes[len(calibrated):], []int{15, 3, 15, 15, 15}; !slices.Equal(got, want) {
			t.Errorf("runs of %v rows, want %v", got, want)
		}
	})
}

// Callers that run their own claims are bounded by MaxRunners; beyond it claims share batches.
func TestCallersAreBounded(t *testing.T) {
	inBubble(t, 2, costing(0, 10*us), QueueOptions{MaxRows: 64, MaxRunners: 1, CalibrationRuns: 4}, func(x *harness) {
		var all sync.WaitGroup
		for id := range 8 {
			all.Go(func() { x.wait(x.claim(id, 1, time.Time{}, rowFine), id) })
			synctest.Wait()
		}
		x.q.mu.Lock()
		calling := x.q.calling
		x.q.mu.Unlock()
		if !x.q.Quick(1) == (calling == 0) || calling != 1 {
			t.Errorf("%d callers run their claims, want 1", calling)
		}
		all.Wait()
		if s := x.q.Stats(); s.Batches > 4 || s.Running != 0 {
			t.Errorf("%d batches of 8 rows, want few", s.Batches)
		}
		if !x.q.Quick(1) || x.q.Quick(3) {
			t.Error("one row of 10us is quick, three are not")
		}
	})
}

// The rows of a claim lie next to one another, in their order, whatever is claimed beside them.
func TestRowsAreNeighbours(t *testing.T) {
	for _, policy := range Policies {
		inBubble(t, 2, &fakeEngine{}, QueueOptions{MaxRows: 16, Policy: policy}, func(x *harness) {
			var tickets []*Ticket
			for n := 1; n < 40; n += 3 {
				tickets = append(tickets, x.claim(0, n, time.Time{}, rowFine))
			}
			for _, tk := range tickets {
				rows := 0
				for k := range tk.parts {
					p := &tk.parts[k]
					if p.first != rows {
						t.Errorf("%s: the part begins at row %d, want %d", policy, p.first, rows)
					}
					for i := range p.n {
						if s := p.b.slots[p.slot+i]; s.t != tk || int(s.row) != rows {
							t.Errorf("%s: place %d is row %d, want %d", policy, p.slot+i, s.row, rows)
						}
						rows++
					}
				}
			}
			for _, tk := range tickets {
				tk.Commit()
			}
			for _, tk := range tickets {
				x.wait(tk, 0)
			}
		})
	}
}

func TestFixed(t *testing.T) {
	f := func(name string, want float64, points ...int64) { // rows and ns, by turns
		t.Helper()
		var c curve
		for range 20 {
			for i := 0; i < len(points); i += 2 {
				c.observe(int(points[i]), points[i+1])
			}
		}
		if got, ok := c.fixed(); got != want || !ok {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("one size", 500, 1, 500)
	f("one larger size", 500, 8, 500)
	f("a line", 400, 1, 500, 2, 600, 11, 1500)
	f("a run of more rows that was faster", 500, 1, 500, 64, 500)
	f("rows that cost more in larger batches", 0, 1, 10, 64, 64000)
	if _, ok := new(curve).fixed(); ok {
		t.Error("a curve without observations has a fixed cost")
	}
}
