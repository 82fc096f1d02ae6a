package host

import (
	"os"
	"runtime"
	"strconv"
)

// RaiseProcs adds one P to GOMAXPROCS for each thread that spends its time in C, but adds at most half the processors.
// A thread in C keeps its P, although no goroutine runs there (docs/decisions/0013-places.md).
//
// If the environment sets GOMAXPROCS, RaiseProcs changes nothing. Otherwise GOMAXPROCS no longer follows a container's
// quota that changes while the process runs.
func RaiseProcs(threads int) {
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		return
	}
	runtime.GOMAXPROCS(processors + min(threads, max(processors/2, 1)))
}
