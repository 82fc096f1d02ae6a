package limit

import (
	"testing"
	"testing/synctest"
	"time"
)

// In a flood half of what was under way may be so, as long as it lasts; waits have not grown yet.
func TestGate(t *testing.T) {
	const processors, high = 2, 2 * flood
	f := func(name string, want int, queues ...int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			l, w := newTest(t, Options{Most: 1000, Least: 10, Processors: processors})
			begin(l, 300)
			for _, queue := range queues {
				w.queue = queue
				l.adjust()
			}
			if got := l.Stats().Limit; got != want {
				t.Errorf("limit %d, want %d", got, want)
			}
		})
	}
	f("a batch has ended", 1000, 0, high, 0)
	f("and another one", 1000, high, high/2, high)
	f("a long queue, no flood", 1000, high-1, high-1, high-1)
	f("a flood", 150, high, high)
	f("it lasts", 150, high, high, 10*high)
	f("it runs off", 150, high, high, high-1, high/2)
	f("it has run off", 1000, high, high, high/2-1)
	f("and is not back at once", 1000, high, high, high/2-1, high)
	f("it is back", 150, high, high, high/2-1, high, high)
	f("nobody knows the queue", 1000, unknown, unknown, unknown)
	f("nor any more", 1000, high, high, unknown)
}

// Half of the peak is let pass, whatever is under way later, for ten periods at most; then it takes another flood to shut it.
func TestGateOpens(t *testing.T) {
	l, w := newTest(t, Options{Most: 1000, Least: 10, Processors: 2})
	periods := func(queue, n, want int) {
		t.Helper()
		w.queue = queue
		for range n {
			l.adjust()
		}
		if got := l.Stats().Limit; got != want {
			t.Fatalf("limit %d after %d periods with a queue of %d, want %d", got, n, queue, want)
		}
	}
	const high = 2 * flood
	begin(l, 300)
	periods(high, floodLooks, 150)
	if got := begin(l, 1); got != 0 {
		t.Error("one more began behind a shut gate")
	}
	end(l, 200)
	if got := begin(l, 100); got != 50 {
		t.Errorf("beside 100 there is room for %d, want 50", got)
	}
	periods(high/2, standing, 150)
	periods(high/2, 1, 1000)
	periods(high/2, 10*standing, 1000)
	periods(high, floodLooks, 75)
	if s := l.Stats(); s.Floods != 2 || s.Reached != 51 {
		t.Errorf("stats: %+v, want 2 floods and 51 refusals", s)
	}
}

// What little is under way, where the queue is other work, is let be.
func TestGateWithLittleUnderWay(t *testing.T) {
	l, w := newTest(t, Options{Most: 1000, Least: 10})
	begin(l, 11)
	w.queue = 1e6
	l.adjust()
	l.adjust()
	if got := l.Stats().Limit; got != 10 {
		t.Errorf("limit %d, want the least, 10", got)
	}
}

// A queue that stands behind a shut gate limits by what was under way before, and what ends that leaves no gate shut.
func TestGateThenLimit(t *testing.T) {
	l, w := newTest(t, Options{Most: 1000, Least: 10, Target: time.Millisecond})
	begin(l, 300)
	w.queue = 1e6
	l.adjust()
	l.adjust()
	end(l, 295)
	l.adjust()
	w.set(2*time.Millisecond, 4*time.Millisecond)
	l.looks.long = longLooks
	if l.adjust(); l.Stats().Limit != 150 || l.gate.shut {
		t.Errorf("limit %d, gate %+v, want 150 and an open one", l.Stats().Limit, l.gate)
	}
	w.queue = 0
	w.set(0, 0)
	for range standing {
		l.adjust()
	}
	if got := l.Stats().Limit; got != 1000 {
		t.Errorf("limit %d when it has passed, want 1000", got)
	}
}

func TestRunInAFlood(t *testing.T) {
	whileRunning(t, Options{Most: 1000}, func(t *testing.T, l *Limiter, w *waits) {
		begin(l, 100)
		after := func(queue, periods, limit int) {
			t.Helper()
			w.mu.Lock()
			w.queue = queue
			w.mu.Unlock()
			time.Sleep(time.Duration(periods) * 10 * time.Millisecond)
			synctest.Wait()
			if got := l.Stats().Limit; got != limit {
				t.Errorf("limit %d after %d periods with a queue of %d, want %d", got, periods, queue, limit)
			}
		}
		after(1e6, 1, 1000)
		after(1e6, 1, 50)
		after(0, 1, 1000)
	})
}
