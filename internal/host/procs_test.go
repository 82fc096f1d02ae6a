package host

import (
	"runtime"
	"testing"
)

func TestRaiseProcs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	f := func(environment string, threads, want int) {
		t.Helper()
		t.Setenv("GOMAXPROCS", environment)
		runtime.GOMAXPROCS(processors)
		if RaiseProcs(threads); runtime.GOMAXPROCS(0) != want {
			t.Errorf("GOMAXPROCS=%q in the environment, %d threads: %d Ps, want %d", environment, threads, runtime.GOMAXPROCS(0), want)
		}
	}
	most := processors + max(processors/2, 1)
	f("", 0, processors)
	f("", 1, processors+1)
	f("", 1+processors, most)
	f("7", 1, processors)
	f("0", processors, most) // Go ignores this value and the next one
	f("all", processors, most)
}
