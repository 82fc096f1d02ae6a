package batcher_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/batcher"
)

// A pool's load is the share of its processors that the process has used, over about the last half second.
func TestLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used time.Duration
		p, err := batcher.NewPool(batcher.PoolOptions{Runners: 1, RuntimeTimer: true, Processors: 4, CPU: func() time.Duration { return used }})
		if err != nil {
			t.Fatal(err)
		}
		pass := func(what string, cores float64, d time.Duration, want float64) {
			t.Helper()
			for range d / (50 * time.Millisecond) {
				time.Sleep(50 * time.Millisecond)
				used += time.Duration(cores * 50 * float64(time.Millisecond))
				p.Stats()
			}
			if got := p.Stats().Load; math.Abs(got-want) > 0.02 {
				t.Errorf("%s: load %.3f, want %.2f", what, got, want)
			}
		}
		pass("one of four processors", 1, 3*time.Second, 0.25)
		pass("all of them", 4, 3*time.Second, 1)
		pass("idle for 0.35 s", 0, 350*time.Millisecond, 0.5)
		pass("idle", 0, 3*time.Second, 0)
		time.Sleep(time.Hour)
		used += 2 * time.Hour
		pass("sampled once an hour", 2, 0, 0.5)
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
