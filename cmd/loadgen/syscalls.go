package main

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets do not block, so reads and writes need not tell Go's scheduler, which would cost as much as they do.

func rawRead(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func rawWrite(fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// epollPwait2 is epoll_pwait2(2): epoll_wait with a timeout in nanoseconds (Linux 5.11).
func epollPwait2(epoll int, events []unix.EpollEvent, span *unix.Timespec) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(span)), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// shortSlice is the least that Linux gives (6.12 and later; others know of no such wish).
const shortSlice = 100 * time.Microsecond

// askForShortSlices has the system run the calling thread for short times, the sooner after it has something to do: what
// it sends late or reads late, while servers under test have the processors, would be counted as theirs. It gets no larger
// part of them. Where the system refuses, the lag in the result tells.
func askForShortSlices() {
	attributes, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return
	}
	attributes.Runtime = uint64(shortSlice)
	_ = unix.SchedSetAttr(0, attributes, 0)
}
