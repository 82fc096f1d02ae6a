//go:build race

package httpd

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// With the race detector, reads and writes are the standard library's. They tell the detector that what precedes a
// write happens before what follows the read of it.

func read(fd int, p []byte) (int, unix.Errno) { return outcome(syscall.Read(fd, p)) }

func write(fd int, p []byte) (int, unix.Errno) { return outcome(syscall.Write(fd, p)) }

func outcome(n int, err error) (int, unix.Errno) {
	errno, _ := err.(unix.Errno)
	return n, errno
}
