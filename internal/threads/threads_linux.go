package threads

import "syscall"

// lowerPriority makes the calling thread, and it alone, as nice as is said, unless it is nicer already.
func lowerPriority(nice int) error {
	thread := syscall.Gettid()
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	if err != nil {
		return err
	}
	return syscall.Setpriority(syscall.PRIO_PROCESS, thread, max(nice, 20-raw)) // raw, so that it is never below 0
}

// isMainThread says whether this is the process's first thread, which lives as long as the process.
func isMainThread() bool { return syscall.Gettid() == syscall.Getpid() }
