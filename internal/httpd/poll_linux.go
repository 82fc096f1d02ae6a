package httpd

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll is epoll_wait with a timeout of 0. It never blocks, so it skips Go's scheduler hooks.
func poll(epoll int, events []unix.EpollEvent) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}
