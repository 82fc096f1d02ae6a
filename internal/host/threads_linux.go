package host

import (
	"syscall"
	"time"
	"unsafe"
)

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

// currentThread is the calling thread's number.
func currentThread() int { return syscall.Gettid() }

// threadCPU is the CPU time that a thread of this process has used so far; 0 where the system does not tell. The clock's
// number is pthread_getcpuclockid(3)'s.
func threadCPU(thread int) time.Duration {
	const ofThread, sched = 4, 2
	clock := int32(^thread<<3 | ofThread | sched)
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0
	}
	return time.Duration(t.Nano())
}
