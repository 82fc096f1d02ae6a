package host

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

// One thread can ask for itself; nothing else about it changes.
func TestShortSlice(t *testing.T) {
	runtime.LockOSThread() // for good: the thread ends with the test
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Skip(err)
	}
	if before.Runtime == 0 {
		t.Skip("this system tells of no slices")
	}
	before.Runtime = uint64(10 * shortSlice) // whatever the process has asked for
	if err := unix.SchedSetAttr(0, before, 0); err != nil {
		t.Fatal(err)
	}
	if err := ShortSlice(); err != nil {
		t.Fatal(err)
	}
	after, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := after.Runtime, uint64(shortSlice); got != want {
		t.Errorf("slices of %d ns, want %d; before: %d", got, want, before.Runtime)
	}
	if after.Nice != before.Nice || after.Policy != before.Policy {
		t.Errorf("nice %d and policy %d, want them as they were, %d and %d", after.Nice, after.Policy, before.Nice, before.Policy)
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
