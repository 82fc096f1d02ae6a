package main

import (
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"

	"gavel/internal/batcher"
	"gavel/internal/console"
	"gavel/internal/engine"
	"gavel/internal/engine/onnx"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/engine/workers"
	"gavel/internal/host"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/scoring"
)

// startModels follows the served models. It does not wait for a version to be loaded.
func (b *bidder) startModels(ctx context.Context) error {
	b.queues = console.NewQueues()
	b.metrics.MustRegister(b.queues, tensorflow.NewUsageCollector(), plan.NewUsageCollector())
	poolOf, err := b.startPools()
	if err != nil {
		return err
	}
	threading := b.config.TensorFlow.Threading
	b.page = &console.Page{Bidder: b.config.Name, Threading: threading, Queues: b.queues}
	objects := plan.NewObjects(filepath.Join(b.config.ModelStore, models.ObjectsDir))
	b.metrics.MustRegister(plan.NewCacheCollector(objects))
	loaders := loaders(tensorflow.Threading(threading), objects, plan.Options{
		StageCache: b.config.Plans.StageCacheBytes, RowCache: b.config.Plans.RowCacheBytes,
	})
	if b.config.usesWorkers() {
		if loaders[models.WorkersFormat], err = b.startWorkers(ctx); err != nil {
			return err
		}
	}
	group, err := models.NewGroup(models.GroupOptions{
		Store: modelsdir.New(b.config.ModelStore), Loaders: loaders,
		Memory: b.config.Discover.MemoryBytes, Registerer: b.metrics, Logger: b.log,
	})
	if err != nil {
		return err
	}
	b.parts.OnStop("model store", closeTimeout, func(context.Context) error { group.Close(); return nil })
	b.models, err = scoring.New(scoring.Options{Group: group, Queues: b.queues, Formats: b.config.formats(), Logger: b.log})
	if err != nil {
		return err
	}
	b.parts.OnStop("models", closeTimeout, b.models.Close)
	for _, name := range b.config.served() {
		if _, err := b.models.Serve(name, poolOf[name], b.config.batching(name).Queue()); err != nil {
			return err
		}
	}
	b.page.Models = b.statuses
	if d := &b.config.Discover; d.Enabled {
		b.models.Discover(scoring.Discovery{
			Match: func(model string) bool { matches, _ := path.Match(d.Pattern, model); return matches },
			Pool:  poolOf[shared], Queue: b.config.shared().Queue(), OnUse: d.MemoryBytes > 0,
		})
	}
	return nil
}

// statuses are those of all models that are served now.
func (b *bidder) statuses() (all []models.Status) {
	for _, model := range b.models.All() {
		all = append(all, model.Status())
	}
	return all
}

// startWorkers starts the Python processes, which stop after the models that they run.
func (b *bidder) startWorkers(ctx context.Context) (engine.Loader, error) {
	pool, err := workers.Start(ctx, b.config.Workers.Options(b.log))
	if err != nil {
		return nil, fmt.Errorf("%w (workers.python, workers.directory)", err)
	}
	b.parts.OnStop("workers", closeTimeout, pool.Close)
	if err := b.metrics.Register(pool.Metrics()); err != nil {
		return nil, fmt.Errorf("cannot register the workers' metrics: %w", err)
	}
	return workers.Loader(pool, workers.EngineOptions{Trusted: b.config.Workers.Trusted}), nil
}

// loaders are the engines that need no processes of their own. objects are the parameters of plans.
func loaders(threading tensorflow.Threading, objects *plan.Objects, options plan.Options) engine.Loaders {
	return engine.Loaders{
		models.DefaultFormat: tensorflow.Loader(tensorflow.Options{Threading: threading}),
		models.PlanFormat:    plan.Loader(objects, options),
		models.ONNXFormat:    onnx.Loader(onnx.Options{}),
	}
}

// engines returns the formats that the bidder has an engine for, sorted.
func engines() []string {
	formats := slices.Collect(maps.Keys(loaders(tensorflow.CallerThread, nil, plan.Options{})))
	return slices.Sorted(slices.Values(append(formats, models.WorkersFormat)))
}

// shared is what the pool of models without runners of their own is called. No model has this name.
const shared = "(shared)"

// startPools starts the runners, and returns the pool of each served model, its own or the shared one, and the shared one under its
// name. The shared pool exists only if a model needs it, or models are discovered.
func (b *bidder) startPools() (poolOf map[string]*batcher.Pool, err error) {
	poolOf = map[string]*batcher.Pool{}
	pools := map[string]*batcher.Pool{} // by name
	runners := 0
	served := b.config.served()
	if b.config.Discover.Enabled {
		served = append(served, shared)
	}
	for _, model := range served {
		name, part, options := shared, "batcher", &batcher.PoolOptions{Runners: b.config.Batcher.Runners}
		if own := b.config.batching(model).Pool(); own != nil {
			name, part, options = model, "batcher of "+model, own
		}
		if pools[name] == nil {
			options.Logger = b.log
			pool, err := batcher.NewPool(*options)
			if err != nil {
				return nil, err
			}
			pools[name] = pool
			runners += options.Runners
			b.queues.AddPool(name, pool)
			b.parts.OnStop(part, closeTimeout, pool.Close)
		}
		poolOf[model] = pools[name]
	}
	host.RaiseProcs(runners)
	return poolOf, nil
}
