package garbage

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

// TestLimit: with 64 MiB in use and 8 MiB allowed, the next collection comes before 256 MiB more, which 400 % would allow.
func TestLimit(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	b := Limit(400, 8<<20)
	used := make([]byte, 64<<20)
	deadline := time.Now().Add(10 * time.Second)
	var m runtime.MemStats
	for runtime.ReadMemStats(&m); m.NextGC == 0 || m.NextGC > m.HeapAlloc+(40<<20) || m.HeapAlloc < 64<<20; runtime.ReadMemStats(&m) {
		if time.Now().After(deadline) {
			t.Fatalf("%d MiB in use, the next collection at %d", m.HeapAlloc>>20, m.NextGC>>20)
		}
		runtime.GC() // the cleanup runs some time after
	}
	runtime.KeepAlive(used)
	b.Stop()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d %% after Stop, want 100", got)
	}
	runtime.GC()
	runtime.GC()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d %% some collections after Stop, want 100", got)
	}
}
