package main

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"gavel/internal/batcher"
	"gavel/internal/console"
	"gavel/internal/engine"
	"gavel/internal/engine/onnx"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/host"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/scoring"
)

// startModels follows the served models. It does not wait for a version to be loaded.
func (b *bidder) startModels(context.Context) error {
	b.queues = console.NewQueues()
	b.metrics.MustRegister(b.queues, tensorflow.NewUsageCollector(), plan.NewUsageCollector())
	poolOf, err := b.startPools()
	if err != nil {
		return err
	}
	threading := b.config.TensorFlow.Threading
	b.page = &console.Page{Bidder: b.config.Name, Threading: threading, Queues: b.queues}
	group, err := models.NewGroup(models.GroupOptions{
		Store: modelsdir.New(b.config.ModelStore), Loaders: loaders(tensorflow.Threading(threading), filepath.Join(b.config.ModelStore, models.ObjectsDir)),
		Registerer: b.metrics, Logger: b.log,
	})
	if err != nil {
		return err
	}
	b.parts.OnStop("model store", closeTimeout, func(context.Context) error { group.Close(); return nil })
	b.models, err = scoring.New(scoring.Options{Group: group, Queues: b.queues, Formats: b.config.formats(), Logger: b.log})
	if err != nil {
		return err
	}
	for _, name := range b.config.served() {
		model, err := b.models.Serve(name, poolOf[name], b.config.batching(name).Queue())
		if err != nil {
			return err
		}
		b.page.Models = append(b.page.Models, model.Status)
		b.parts.OnStop("model "+name, closeTimeout, model.Close)
	}
	return nil
}

// loaders are the engines that the bidder has. objects is the directory of plans' parameters.
func loaders(threading tensorflow.Threading, objects string) engine.Loaders {
	return engine.Loaders{
		models.DefaultFormat: tensorflow.Loader(tensorflow.Options{Threading: threading}),
		models.PlanFormat:    plan.Loader(plan.NewObjects(objects), plan.Options{}),
		models.ONNXFormat:    onnx.Loader(onnx.Options{}),
	}
}

// engines returns the formats that the bidder has an engine for, sorted.
func engines() []string { return slices.Sorted(maps.Keys(loaders(tensorflow.CallerThread, ""))) }

// startPools starts the runners, and returns the pool of each served model: its own, or the shared one. The shared pool
// exists only if a model needs it.
func (b *bidder) startPools() (poolOf map[string]*batcher.Pool, err error) {
	const shared = "(shared)" // never the name of a model
	poolOf = map[string]*batcher.Pool{}
	pools := map[string]*batcher.Pool{} // by name
	runners := 0
	for _, model := range b.config.served() {
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
