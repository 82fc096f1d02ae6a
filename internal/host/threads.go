// Package host is what a process asks of the machine it runs on: the priority, time slices and CPU time of threads, how many
// can run at once, and how much memory may be allocated between two garbage collections.
package host

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// GoNice runs f in a goroutine that has a thread for itself, as nice as is said (nice(1)) or nicer where the caller's
// already is. err says why it is not, on systems that refuse it or know no priority of a thread; f runs all the same.
//
// The thread ends with f: priority can't be raised again without a privilege, and must not stay with a thread that others
// use. The process's main thread, which can't end, is therefore never taken.
func GoNice(nice int, f func(err error)) { go inThread(nice, f) }

// inThread is its goroutine's last act.
func inThread(nice int, f func(err error)) {
	runtime.LockOSThread()
	if isMainThread() { // While it is held here, the next goroutine gets another.
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

// NiceCPU is the CPU time that functions have used in threads which GoNice made nice, those that are running included.
func NiceCPU() time.Duration { return nices.used() }

// nices are the nice threads there are.
var nices account

// thread is one that is accounted for.
type thread struct {
	number int           // the system's
	before time.Duration // what it had used when it came
}

func (t thread) used() time.Duration { return threadCPU(t.number) - t.before }

// account keeps what threads use. Methods are safe for concurrent use.
type account struct {
	mu      sync.Mutex
	threads []thread
	ended   time.Duration // used by those that have left
}

// begin takes a thread in; end must follow, in that thread.
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
