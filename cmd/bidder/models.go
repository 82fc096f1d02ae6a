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
	"gavel/internal/scoring"
)

func (b *bidder) startModels(ctx context.Context) error {
	b.queues = console.NewQueues()
	b.metrics.MustRegister(b.queues, tensorflow.NewUsageCollector())
	var runners pools
	for _, model := range b.config.served() {
		if err := b.startRunners(&runners, model, b.config.batching(model).own); err != nil {
			return err
		}
	}
	makePlaces(runners)
	b.page = &console.Page{Bidder: b.config.Name, Threading: b.config.TensorFlow.Threading, Queues: b.queues}
	group, err := models.NewGroup(models.GroupOptions{
		Store: modelsdir.New(b.config.ModelStore), Loaders: loaders(tensorflow.Threading(b.config.TensorFlow.Threading)),
		Registerer: b.metrics, Logger: b.log,
	})
	if err != nil {
		return err
	}
	b.onStop("model store", closeTimeout, func(context.Context) error { group.Close(); return nil })
	b.models, err = scoring.New(scoring.Options{Group: group, Queues: b.queues, Logger: b.log})
	if err != nil {
		return err
	}
	for _, name := range b.config.served() {
		model, err := b.models.Serve(name, runners.of(name), b.config.batching(name).queue)
		if err != nil {
			return err
		}
		b.page.Models = append(b.page.Models, model.Status)
		b.onStop("model "+name, closeTimeout, model.Close)
	}
	return nil
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
