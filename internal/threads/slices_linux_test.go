package threads

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slice is a thread's time slice; 0 where the system knows of none.
func slice(t *testing.T, thread int) time.Duration {
	t.Helper()
	attributes, err := unix.SchedGetAttr(thread, 0)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(attributes.Runtime)
}

// All threads there are get short slices, and those that come later have them.
func TestShortSlices(t *testing.T) {
	if err := ShortSlices(); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range all {
		number, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := slice(t, number); got == 0 {
			t.Skip("this system knows of no time slices")
		} else if got != shortSlice {
			t.Errorf("thread %d of %d has slices of %v", number, len(all), got)
		}
	}
	later := make(chan time.Duration)
	go func() {
		runtime.LockOSThread() // and ends with it
		later <- slice(t, 0)
	}()
	if got := <-later; got != shortSlice {
		t.Errorf("a thread that came later has slices of %v", got)
	}
}

func TestShortSlicesOfNone(t *testing.T) {
	if err := shorten("none"); err == nil {
		t.Error("no thread has that name")
	}
	if err := shorten("2147483647"); err != nil { // more than any system's last: as if it had ended
		t.Error(err)
	}
}
