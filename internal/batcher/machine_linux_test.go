package batcher

import "testing"

func TestCPUTimes(t *testing.T) {
	f := func(stat string, idle, all float64, ok bool) {
		t.Helper()
		if i, a, o := cpuTimes([]byte(stat)); i != idle || a != all || o != ok {
			t.Errorf("%q: %v of %v, %v; want %v of %v, %v", stat, i, a, o, idle, all, ok)
		}
	}
	f("cpu  100 20 30 400 5 6 7 8 90 10\ncpu0 1 2 3\n", 425, 576, true)
	f("cpu 1 2 3 4 5 6 7 8", 11, 36, true) // before guests were told
	f("cpu 1 2 3", 0, 0, false)
	f("cpu 1 2 3 four 5 6 7 8", 0, 0, false)
	f("cpu0 1 2 3 4 5 6 7 8", 0, 0, false)
	f("", 0, 0, false)

	if idle, all, ok := machineCPU(); !ok || all <= 0 || idle > all {
		t.Errorf("this machine: %v of %v, %v", idle, all, ok)
	}
}
