package overload

import (
	"testing"
	"time"
)

// In a flood half of what was under way may be so, as long as it lasts and no longer; waits have not grown yet.
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
}

func TestGateWithLittleUnderWay(t *testing.T) {
	l, w := newTest(t, Options{Most: 1000, Least: 10})
	begin(l, 11)
	w.queue = 1e6 // of work that is not limited
	l.adjust()
	l.adjust()
	if got := l.Stats().Limit; got != 10 {
		t.Errorf("limit %d, want the least, 10", got)
	}
}

// A queue that stands in a flood limits as it would without, and what ends that leaves no gate shut.
func TestGateThenLimit(t *testing.T) {
	l, w := newTest(t, Options{Most: 1000, Least: 10, Target: time.Millisecond})
	begin(l, 300)
	w.queue = 1e6
	l.adjust()
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
