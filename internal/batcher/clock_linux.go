package batcher

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// preciseSleeper sleeps in ppoll(2) on a pipe, which wakes within some 10 µs where Go's timers, in an idle process, are
// rounded up to a millisecond. It keeps its goroutine on one OS thread, whose timer slack it sets to the least.
type preciseSleeper struct {
	read, write int
	pending     atomic.Bool // a byte is in the pipe, or about to be
	locked      bool
	mu          sync.Mutex // guards write's life
	closed      bool
}

// newPreciseSleeper is nil where the pipe can't be had; Go's timers serve then.
func newPreciseSleeper() sleeper {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		return nil
	}
	return &preciseSleeper{read: fds[0], write: fds[1]}
}

// pollfd is struct pollfd of poll(2).
type pollfd struct {
	fd              int32
	events, revents int16
}

const (
	pollIn           = 1
	prSetTimerSlack  = 29
	timerSlackLeast  = 1 // ns
	preciseSleepSpan = time.Hour
)

func (s *preciseSleeper) sleep(d time.Duration) {
	if !s.locked {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, slack and all, or is never used again if it is the main one
		s.locked = true
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, timerSlackLeast, 0)
	}
	if d < 0 || d > preciseSleepSpan {
		d = preciseSleepSpan // the caller looks again
	}
	fd := pollfd{fd: int32(s.read), events: pollIn}
	span := syscall.NsecToTimespec(int64(d))
	n, _, _ := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&span)), 0, 0, 0)
	if int(n) > 0 {
		var buf [1]byte
		_, _ = syscall.Read(s.read, buf[:])
		s.pending.Store(false) // a kick that came before this needs no byte: the sleep is over
	}
}

func (s *preciseSleeper) kick() {
	if s.pending.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !s.pending.Swap(true) {
		_, _ = syscall.Write(s.write, []byte{0})
	}
}

func (s *preciseSleeper) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true // a late kick must not write to whatever gets this descriptor next
	_ = syscall.Close(s.read)
	_ = syscall.Close(s.write)
}
