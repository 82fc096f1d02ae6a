//go:build unix

package batcher

import (
	"syscall"
	"time"

	"gavel/internal/host"
)

// processCPU returns the CPU time that the process has used, without that of its nice threads; 0 if the system call fails.
func processCPU() time.Duration {
	nice := host.NiceCPU() // first: it makes the system update the time of those threads, which Getrusage includes
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano()+u.Stime.Nano()) - nice
}
