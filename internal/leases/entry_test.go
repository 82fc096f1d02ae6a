package leases

import (
	"testing"

	"gavel/internal/auction"
)

func TestEntry(t *testing.T) {
	e := &entry{Leases: map[string]part{"a": {Granted: 600, Spent: 100}, "b": {Granted: 300, Spent: 300}}}
	f := func(ask, least auction.Micros, share float64, want auction.Micros) {
		t.Helper()
		if got := e.lend(ask, 1000, least, share); got != want {
			t.Errorf("lend(%d, %d, %g) = %d, want %d", ask, least, share, got, want)
		}
	}
	f(50, 1, 1, 50)
	f(500, 1, 1, 100)
	f(500, 1, 0.5, 50)
	f(500, 70, 0.5, 70)
	f(500, 700, 0.5, 100)
	f(-5, 1, 1, 0)
	if got := e.lend(10, 800, 1, 1); got != 0 {
		t.Errorf("lent %d of a budget that is overdrawn", got)
	}
	if back := e.settle("a", 150); back != 450 || e.granted() != 450 {
		t.Errorf("settled: %d back, %d granted", back, e.granted())
	}
	for _, bad := range []string{"", "x", `{"leases":{"a":{"granted":-1}}}`} {
		if _, err := decodeEntry([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
