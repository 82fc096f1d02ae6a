package references_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"gavel/internal/references"
)

// TestOnce is that of many who acquire and release while the owner gives up, exactly one frees, and none acquires afterwards.
func TestOnce(t *testing.T) {
	for range 200 {
		var c references.Count
		var freed atomic.Int64
		c.Start()
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				for range 100 {
					if !c.Acquire() {
						return
					}
					if freed.Load() != 0 {
						t.Error("acquired after it was freed")
					}
					if c.Release() {
						freed.Add(1)
					}
				}
			})
		}
		if c.Release() {
			freed.Add(1)
		}
		users.Wait()
		if freed.Load() != 1 || c.Load() != 0 || c.Acquire() {
			t.Fatalf("freed %d times, %d references left", freed.Load(), c.Load())
		}
	}
}

func TestReleasedTooOften(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var c references.Count
	c.Start()
	c.Release()
	c.Release()
}
