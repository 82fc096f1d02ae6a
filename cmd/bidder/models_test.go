package main

import (
	"context"
	"runtime"
	"testing"

	"gavel/internal/batcher"
	"gavel/internal/host"
)

// Go runs one goroutine more for each runner, up to half the processors, where the environment says nothing else.
func TestPlaces(t *testing.T) {
	was := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(was)
	processors := host.Processors()
	pool := func(runners int) *batcher.Pool {
		p, err := batcher.NewPool(batcher.PoolOptions{Runners: runners})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close(context.Background()) })
		return p
	}
	one, many := pool(1), pool(processors)
	most := processors + max(processors/2, 1)
	for _, f := range []struct {
		environment string
		runners     pools
		want        int
	}{
		{"", pools{{sharedPool, one}}, processors + 1},
		{"", pools{{sharedPool, one}, {"cvr", many}}, most},
		{"7", pools{{sharedPool, one}}, processors},
		{"0", pools{{sharedPool, many}}, most}, // Go takes no notice of these two
		{"all", pools{{sharedPool, many}}, most},
	} {
		t.Setenv("GOMAXPROCS", f.environment)
		runtime.GOMAXPROCS(processors)
		if makePlaces(f.runners); runtime.GOMAXPROCS(0) != f.want {
			t.Errorf("GOMAXPROCS=%q in the environment, %d pools: %d places, want %d",
				f.environment, len(f.runners), runtime.GOMAXPROCS(0), f.want)
		}
	}
}
