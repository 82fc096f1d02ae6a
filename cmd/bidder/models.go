package main

import (
	"context"
	"os"
	"runtime"
	"strconv"

	"gavel/internal/batcher"
	"gavel/internal/console"
	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/host"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
)

func (b *bidder) startModels(ctx context.Context) error {
	b.queues = console.NewQueues()
	b.metrics.MustRegister(b.queues, tensorflow.NewUsageCollector())
	var runners pools
	batched := make(map[string]batching)
	for _, model := range b.config.served() {
		batched[model] = b.config.batching(model)
		if err := b.startRunners(&runners, model, batched[model].own); err != nil {
			return err
		}
	}
	makePlaces(runners)
	b.page = &console.Page{Bidder: b.config.Name, Threading: b.config.TensorFlow.Threading, Queues: b.queues}
	group, err := models.NewGroup(models.GroupOptions{
		Store: modelsdir.New(b.config.Models.Store), Loaders: loaders(tensorflow.Threading(b.config.TensorFlow.Threading)),
		Registerer: b.metrics, Logger: b.log,
	})
	if err != nil {
		return err
	}
	b.onStop("model store", closeTimeout, func(context.Context) error { group.Close(); return nil })
	v := &versions{queues: b.queues, log: b.log}
	start := func(model string) (*models.Manager, error) {
		m, err := v.manage(group, model, runners.of(model), batched[model].queue)
		if err == nil {
			b.page.Models = append(b.page.Models, m.Status)
			b.onStop("model "+model, closeTimeout, m.Close)
		}
		return m, err
	}
	if b.click, err = start(b.config.Models.Click); err != nil {
		return err
	}
	if b.config.Models.Conversion != "" {
		b.conversion, err = start(b.config.Models.Conversion)
	}
	return err
}

// loaders are the engines that the bidder has.
func loaders(threading tensorflow.Threading) engine.Loaders {
	return engine.Loaders{models.DefaultFormat: tensorflow.Loader(tensorflow.Options{Threading: threading})}
}

// makePlaces lets Go run more goroutines than there are processors: one for each runner, but no more than half of them. A
// runner keeps its place while it is in TensorFlow, where Go counts on it to run goroutines, and a nice one may lose its
// core as well; what is queued there waits with it (docs/decisions/0013-places.md). Where GOMAXPROCS is in the environment, that
// holds; else the number no longer follows a container's quota when that changes.
func makePlaces(runners pools) {
	if n, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && n > 0 {
		return
	}
	more := 0
	for _, pool := range runners {
		more += pool.Stats().Runners
	}
	processors := host.Processors()
	runtime.GOMAXPROCS(processors + min(more, max(processors/2, 1)))
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
	b.queues.AddPool(name, pool)
	b.onStop(part, closeTimeout, pool.Close)
	return nil
}
