//go:build unix

package batcher

import (
	"syscall"
	"time"

	"gavel/internal/host"
)

// processCPU is the CPU time that the process has used, but for that of its nice threads, 0 where the system does not tell.
func processCPU() time.Duration {
	nice := host.NiceCPU() // first: it brings up to date what the system knows of those threads
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano()+u.Stime.Nano()) - nice
}
