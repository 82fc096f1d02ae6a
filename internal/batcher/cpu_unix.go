//go:build unix

package batcher

import (
	"syscall"

	"gavel/internal/host"
)

// processCPU is the CPU time that the process has used, but for that of its nice threads, in ns.
func processCPU() int64 {
	nice := int64(host.NiceCPU()) // first: it brings up to date what the system knows of those threads
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano() - nice
}
