package host

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// niceness is the calling thread's.
func niceness() int {
	raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, syscall.Gettid())
	if err != nil {
		return -100
	}
	return 20 - raw
}

func TestGoNice(t *testing.T) {
	was := niceness()
	if was > 10 {
		t.Skipf("the process itself has nice %d", was)
	}
	f := func(name string, nice, want int) {
		t.Helper()
		got, faults := make(chan int), make(chan error, 1) // one result
		GoNice(nice, func(err error) { faults <- err; got <- niceness() })
		if n, err := <-got, <-faults; n != want || err != nil {
			t.Errorf("%s: nice %d, %v; want %d", name, n, err, want)
		}
	}
	f("nicer than the process", was+5, was+5)
	f("the nicest", 19, 19)
	if was > 0 {
		f("nobody becomes less nice", was-1, was)
	}
	again := make(chan int)
	GoNice(was+7, func(error) { _ = lowerPriority(was + 2); again <- niceness() })
	if n := <-again; n != was+7 {
		t.Errorf("a thread with nice %d that is to have %d has %d", was+7, was+2, n)
	}
	everywhere(t, was)
}

// everywhere checks that 16 goroutines, each in a thread of its own, find it as nice as the process: threads that were
// made nice are not used again.
func everywhere(t *testing.T, want int) {
	t.Helper()
	var all, there sync.WaitGroup
	there.Add(16)
	for range 16 {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
			if n := niceness(); n != want {
				t.Errorf("a thread has nice %d, want %d", n, want)
			}
		})
	}
	all.Wait()
}

// What nice threads use is counted while they run and when they have ended, once, and what others use is not.
func TestNiceCPU(t *testing.T) {
	spin := func(d time.Duration) {
		for until := threadCPU(currentThread()) + d; threadCPU(currentThread()) < until; {
		}
	}
	const spent, little = 20 * time.Millisecond, 10 * time.Millisecond
	check := func(when string, was, want time.Duration) {
		t.Helper()
		if got := NiceCPU() - was; got < want || got > want+little {
			t.Errorf("%s: %v of CPU, want %v", when, got, want)
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spin(spent)
	var own account
	own.begin(currentThread())
	if got := own.used(); got > little {
		t.Errorf("%v of CPU from before it came", got)
	}
	was := NiceCPU()
	worked, end := make(chan error), make(chan struct{})
	GoNice(niceness()+1, func(err error) {
		spin(spent)
		worked <- err
		<-end
	})
	if err := <-worked; err != nil {
		t.Skip(err)
	}
	check("it runs", was, spent)
	spin(spent)
	check("another works", was, spent)
	close(end)
	for there := 1; there > 0; runtime.Gosched() {
		nices.mu.Lock()
		there = len(nices.threads)
		nices.mu.Unlock()
	}
	check("it has ended", was, spent)
}

// The process's main thread does not become nice: what begins there moves to another.
func TestMainThreadIsSpared(t *testing.T) {
	found := make(chan struct{})
	find := sync.OnceFunc(func() { close(found) })
	var tried sync.WaitGroup
	for range 64 { // each holds a thread, until one has the main one
		tried.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if !isMainThread() {
				select {
				case <-found:
				case <-time.After(time.Second):
				}
				return
			}
			defer find()
			was, moved := niceness(), make(chan int, 1) // one result
			inThread(19, func(error) { moved <- niceness() })
			if n := niceness(); n != was {
				t.Errorf("the main thread has nice %d, had %d", n, was)
			}
			if n := <-moved; n != 19 {
				t.Errorf("the other has nice %d, want 19", n)
			}
		})
	}
	tried.Wait()
	select {
	case <-found:
	default:
		t.Skip("no goroutine came to the main thread: nothing shown")
	}
}
