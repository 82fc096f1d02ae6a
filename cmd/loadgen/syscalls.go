package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets do not block, so read and write skip Go's scheduler hooks, which cost as much as the calls themselves.

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
