package main

import (
	"context"
	"runtime"

	"gavel/internal/batcher"
	"gavel/internal/modelstore"
	"gavel/internal/servable"
)

// processors is how many goroutines Go would run at once, if there were no nice runners.
var processors = runtime.GOMAXPROCS(0)

func (b *bidder) startModels(ctx context.Context) error {
	var runners pools
	nice := 0
	batched := make(map[string]batching)
	for _, model := range b.config.served() {
		batched[model] = b.config.batching(model)
		if err := b.startRunners(&runners, model, batched[model].own); err != nil {
			return err
		}
		nice += niceRunners(batched[model].own)
	}
	if nice > 0 { // setting it ends that it follows a container's quota
		runtime.GOMAXPROCS(processors + nice)
	}
	book := newQueueBook()
	b.metrics.MustRegister(&batcherCollector{queues: book, pools: runners}, servable.NewUsageCollector())
	b.page = &batcherPage{bidder: b.config.Name, threading: b.config.TensorFlow.Threading, pools: runners, queues: book}
	v := &versions{queues: book, log: b.log, load: servable.LoadOptions{Threading: servable.Threading(b.config.TensorFlow.Threading)}}
	store := modelstore.New(b.config.Models.Store)
	start := func(model string) (*servable.Manager, error) {
		m, err := v.manage(store, model, runners.of(model), batched[model].queue, b.metrics)
		if err == nil {
			b.page.statuses = append(b.page.statuses, m.Status)
			b.onStop("model "+model, closeTimeout, m.Close)
		}
		return m, err
	}
	var err error
	if b.click, err = start(b.config.Models.Click); err != nil {
		return err
	}
	if b.config.Models.Conversion != "" {
		b.conversion, err = start(b.config.Models.Conversion)
	}
	return err
}

// niceRunners is how many nice threads a pool has. Each may lose its core to others while Go counts on it to run
// goroutines, of which some then wait for the core as well; so one more is let run for each (docs/decisions/0005-reservation.md).
func niceRunners(pool *batcher.PoolOptions) int {
	if pool == nil || pool.Nice == 0 {
		return 0
	}
	return pool.Runners
}

// startRunners starts the pool that runs a model's batches: its own, or once the one that models share.
func (b *bidder) startRunners(runners *pools, model string, own *batcher.PoolOptions) error {
	name, part, options := sharedPool, "batcher", batcher.PoolOptions{Runners: b.config.Batcher.Runners}
	if own != nil {
		name, part, options = model, "batcher of "+model, *own
	} else if runners.named(name) != nil {
		return nil
	}
	options.Logger = b.log
	pool, err := batcher.NewPool(options)
	if err != nil {
		return err
	}
	*runners = append(*runners, namedPool{name, pool})
	b.onStop(part, closeTimeout, pool.Close)
	return nil
}
