package main

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestShortSlices(t *testing.T) {
	runtime.LockOSThread() // for good: the thread ends with the test
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		t.Skip(err)
	}
	if before.Runtime == 0 {
		t.Skip("this system tells of no slices")
	}
	askForShortSlices()
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
