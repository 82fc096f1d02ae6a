package host

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	f := func(percent int, bytes int64, used uint64, want int) {
		t.Helper()
		if got := percentFor(percent, bytes, used); got != want {
			t.Errorf("%d %%, %d bytes, %d in use: %d %%, want %d", percent, bytes, used, got, want)
		}
	}
	f(400, 256<<20, 0, 400)
	f(400, 256<<20, 64<<20, 400)
	f(400, 256<<20, 128<<20, 200)
	f(400, 256<<20, 256<<20, 100)
	f(400, 256<<20, 64<<30, leastPercent)
	f(10, 256<<20, 64<<30, 10)
}

// With 64 MiB in use and 8 MiB allowed, the next collection comes before the 256 MiB more that 400 % would allow; once they
// are free again, after four times what is left. And so a second time.
func TestLimit(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	b := LimitGarbage(400, 8<<20)
	for range 2 {
		used := make([]byte, 64<<20)
		awaitGoal(t, "64 MiB in use", func(inUse, next uint64) bool { return inUse >= 64<<20 && next <= inUse+(40<<20) })
		runtime.KeepAlive(used)
		used = nil
		awaitGoal(t, "little in use", func(inUse, next uint64) bool { return inUse < 32<<20 && next > 3*inUse })
	}
	b.Stop()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d %% after Stop, want 100", got)
	}
	later := make(chan struct{}) // closed by a cleanup that is later than the bound's
	runtime.AddCleanup(new(bell), func(c chan struct{}) { close(c) }, later)
	deadline := time.After(10 * time.Second)
	for rung := false; !rung; {
		runtime.GC()
		select {
		case <-later:
			rung = true
		case <-deadline:
			t.Fatal("no cleanup ran")
		case <-time.After(time.Millisecond):
		}
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d %% some collections after Stop, want 100", got)
	}
}

// awaitGoal collects until what is in use, and what will be at the next collection, are as they should be.
func awaitGoal(t *testing.T, when string, ok func(inUse, next uint64) bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	var m runtime.MemStats
	for runtime.ReadMemStats(&m); !ok(m.HeapAlloc, m.NextGC); runtime.ReadMemStats(&m) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d MiB, the next collection at %d", when, m.HeapAlloc>>20, m.NextGC>>20)
		}
		runtime.GC() // the cleanup runs some time after
	}
}
