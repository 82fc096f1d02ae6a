package batcher

import (
	"math"
	"testing"
	"time"
)

func TestMachine(t *testing.T) {
	idle, all, ok := 100.0, 1000.0, true
	m := machine{read: func() (float64, float64, bool) { return idle, all, ok }}
	now := int64(1)
	f := func(name string, after int64, moreIdle, more, want float64) {
		t.Helper()
		now, idle, all = now+after, idle+moreIdle, all+more
		m.sample(now)
		if got := m.busy(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: busy %v, want %v", name, got, want)
		}
	}
	f("the first reading has none before it", 0, 0, 0, 0)
	f("busy", machineSample, 5, 20, 0.75*machineWeight)
	f("too soon to tell", machineSample-1, 0, 20, 0.75*machineWeight)
	f("both together, half busy", 1, 20, 20, 0.75*machineWeight+(0.5-0.75*machineWeight)*machineWeight)
	ok = false
	was := m.busy()
	f("unreadable", machineSample, 0, 0, was)
	ok = true
	f("time stands", machineSample, 0, 0, was)
	for range 50 {
		now, all = now+machineSample, all+20
		m.sample(now)
	}
	f("all busy for long", machineSample, 0, 20, m.busy()+(1-m.busy())*machineWeight)
	if got := m.busy(); got < 0.999 || got > 1 {
		t.Errorf("busy %v, want 1", got)
	}
	(&machine{}).sample(1) // not known
}

// TestLoadIsOfTheMachine: where others keep the processors busy, load says so though the pool does next to nothing.
func TestLoadIsOfTheMachine(t *testing.T) {
	inBubble(t, 1, &fakeEngine{}, QueueOptions{Policy: Eager}, func(x *bench) {
		all := 0.0
		x.p.machine.read = func() (float64, float64, bool) { all += 20; return 0, all, true }
		for id := range 20 {
			x.wait(x.claim(id, 1, time.Time{}, 0), id)
			time.Sleep(machineSample)
		}
		if got := x.p.Stats().Load; got < 0.9 {
			t.Errorf("load %v, want that of the machine, near 1", got)
		}
	})
}
