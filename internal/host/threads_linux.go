package host

import (
	"syscall"
	"time"
	"unsafe"
)

// lowerPriority sets the niceness of only the calling thread, unless it is higher already.
func lowerPriority(nice int) error {
	thread := syscall.Gettid()
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	if err != nil {
		return err
	}
	current := 20 - raw // the raw system call returns 20 − niceness, so that its result is never negative
	return syscall.Setpriority(syscall.PRIO_PROCESS, thread, max(nice, current))
}

// isMainThread reports whether this is the process's first thread, which lives as long as the process.
func isMainThread() bool { return syscall.Gettid() == syscall.Getpid() }

// currentThread is the calling thread's number.
func currentThread() int { return syscall.Gettid() }

// threadCPU is the CPU time that a thread of this process has used so far; 0 if the system does not report it. The clock's
// number is that of pthread_getcpuclockid(3).
func threadCPU(thread int) time.Duration {
	const ofThread, sched = 4, 2
	clock := int32(^thread<<3 | ofThread | sched)
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}
