// Package threads gives work an operating-system thread of low priority.
package threads

import "runtime"

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
	f(lowerPriority(nice)) // never unlocked: the runtime ends the thread with the goroutine
}
