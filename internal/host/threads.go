// Package host deals with the machine that a process runs on: the priority, time slices and CPU time of threads, the number
// of processors, and how much memory may be allocated between two garbage collections.
package host

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// GoNice runs f in a goroutine on a thread of its own, with the niceness nice (nice(1)), or the caller's if that is higher.
// If the system refuses, or threads have no priority of their own, f runs all the same, and err says why.
//
// The thread ends with f, because raising a priority again needs a privilege, and other goroutines must not run on a nice
// thread. GoNice therefore never uses the process's main thread, which cannot end.
func GoNice(nice int, f func(err error)) { go inThread(nice, f) }

// inThread runs f on the calling goroutine's thread. The goroutine must end when inThread returns.
func inThread(nice int, f func(err error)) {
	runtime.LockOSThread()
	if isMainThread() { // while it is locked here, the next goroutine gets another thread
		begun := make(chan struct{})
		GoNice(nice, func(err error) { close(begun); f(err) })
		<-begun
		runtime.UnlockOSThread()
		return
	}
	err := lowerPriority(nice)
	if err == nil {
		t := nices.begin(currentThread())
		defer nices.end(t)
	}
	f(err) // never unlocked: the runtime ends the thread with the goroutine
}

// NiceCPU is the CPU time used so far on threads that GoNice made nice, running ones included.
func NiceCPU() time.Duration { return nices.used() }

// nices accounts for the nice threads.
var nices account

// thread is a running thread in an account.
type thread struct {
	number int           // the system's number of it
	before time.Duration // CPU time used before it was added
}

func (t thread) used() time.Duration { return threadCPU(t.number) - t.before }

// account sums the CPU time of threads. Methods are safe for concurrent use.
type account struct {
	mu      sync.Mutex
	threads []thread
	ended   time.Duration // used by threads that have ended
}

// begin adds a thread. The caller must call end on that thread.
func (a *account) begin(number int) thread {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := thread{number, threadCPU(number)}
	a.threads = append(a.threads, t)
	return t
}

func (a *account) end(t thread) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.threads, t)
	a.threads = slices.Delete(a.threads, i, i+1)
	a.ended += t.used()
}

func (a *account) used() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := a.ended
	for _, t := range a.threads {
		sum += t.used()
	}
	return sum
}
