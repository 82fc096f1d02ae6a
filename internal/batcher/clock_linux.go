package batcher

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// preciseSleeper sleeps in ppoll(2) on a pipe. It wakes within some 10 µs, while an idle process's Go timers may be a
// millisecond late. It locks its goroutine to one OS thread, and sets that thread's timer slack to the least.
type preciseSleeper struct {
	read, write int
	pending     atomic.Bool // a byte is in the pipe, or about to be
	locked      bool
	mu          sync.Mutex // guards closed, and keeps write open during a kick
	closed      bool
}

// newPreciseSleeper returns nil if it cannot make the pipe. The clock then uses Go's timers.
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
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, so that no other runs with this slack
		s.locked = true
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, timerSlackLeast, 0)
	}
	if d < 0 || d > preciseSleepSpan {
		d = preciseSleepSpan // the caller checks the time and sleeps again
	}
	fd := pollfd{fd: int32(s.read), events: pollIn}
	span := syscall.NsecToTimespec(int64(d))
	n, _, _ := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&fd)), 1, uintptr(unsafe.Pointer(&span)), 0, 0, 0)
	if int(n) > 0 {
		var buf [1]byte
		_, _ = syscall.Read(s.read, buf[:])
		s.pending.Store(false) // an earlier kick needs no byte of its own: the sleep is over
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
	s.closed = true // a late kick must not write to whichever file gets this descriptor next
	_ = syscall.Close(s.read)
	_ = syscall.Close(s.write)
}
