package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine/workers"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/rank"
	"gavel/internal/rank/estimators"
	"gavel/internal/rank/plans"
	"gavel/internal/rank/score"
)

// The scorers, as the setting models.NAME.scorer names them.
const (
	scorerBank    = "bank"    // classifier files
	scorerPlans   = "plans"   // plans of a model store, in a bank
	scorerWorkers = "workers" // estimators in Python processes
	scorerONNX    = "onnx"    // ONNX files
)

var scorers = []string{scorerBank, scorerPlans, scorerWorkers, scorerONNX}

// modelConfig are the settings of one model: what scores the campaigns that have it.
type modelConfig struct {
	Scorer    string `yaml:"scorer"`
	Directory string `yaml:"directory"`
	// Memory bounds the bytes of its classifiers; 0: no bound. Workers have one bound for all, workers.memory.
	Memory  int64 `yaml:"memory"`
	Trusted bool  `yaml:"trusted"` // pickles of workers may be read
}

// defaultModels are those of a configuration that names none.
func defaultModels() map[string]modelConfig {
	return map[string]modelConfig{"sale": {Scorer: scorerBank, Directory: "var/classifiers"}}
}

// modelName is what a model may be called.
var modelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

func (c *config) checkModels(check func(ok bool, key, format string, args ...any)) {
	for name, m := range c.Models {
		key := "models." + name
		check(modelName.MatchString(name), key, "the name must be a lower-case letter, then up to 62 of a-z, 0-9 and _")
		check(slices.Contains(scorers, m.Scorer), key+".scorer", "%q is none of %q", m.Scorer, scorers)
		check(m.Directory != "", key+".directory", "is empty; set it")
		check(m.Memory == 0 || m.Memory >= 1<<20, key+".memory", "%d must be 0, which is no bound, or at least 1 MiB", m.Memory)
		check(m.Memory == 0 || m.Scorer != scorerWorkers, key+".memory", "workers share one bound; set workers.memory")
		check(!m.Trusted || m.Scorer == scorerWorkers, key+".trusted", "only workers read pickles; leave it out")
	}
}

// modelNames are the models' names, ascending.
func (c *config) modelNames() []string { return slices.Sorted(maps.Keys(c.Models)) }

// uses says whether any model has the scorer.
func (c *config) uses(scorer string) bool {
	return slices.ContainsFunc(c.modelNames(), func(name string) bool { return c.Models[name].Scorer == scorer })
}

// check checks what lies in a model's directory, without running it, and returns how many classifiers it found. Classifier files are
// checked when they are served: a faulty one harms no other.
func (m *modelConfig) check(ctx context.Context) (found int, err error) {
	switch m.Scorer {
	case scorerWorkers:
		return estimators.Check(m.Directory, estimators.WorkerEndings, m.Trusted)
	case scorerONNX:
		return estimators.Check(m.Directory, onnxEndings, false)
	case scorerPlans:
		return plans.Check(ctx, modelsdir.New(m.Directory))
	}
	return 0, nil
}

// model is one that serves.
type model struct {
	name    string
	config  modelConfig
	metrics prometheus.Registerer // with its name as a label

	scorer score.Scorer
	read   func() bool // whether the scorer has read what was there at the start
	shown  shown
}

// startModels makes what scores campaigns. Their files are read while the ranker serves already; until then clicks go to any campaign.
func (r *ranker) startModels(ctx context.Context) error {
	var pool *workers.Pool
	if r.config.uses(scorerWorkers) {
		var err error
		if pool, err = r.startPool(ctx); err != nil {
			return err
		}
	}
	for _, name := range r.config.modelNames() {
		m := &model{name: name, config: r.config.Models[name]}
		m.metrics = prometheus.WrapRegistererWith(prometheus.Labels{"model": name}, r.metrics)
		var err error
		switch m.config.Scorer {
		case scorerPlans:
			err = r.startPlans(m)
		case scorerWorkers:
			err = r.startEstimators(m, pool)
		case scorerONNX:
			err = r.startONNX(m)
		default:
			err = r.startBank(m)
		}
		if err != nil {
			return fmt.Errorf("models.%s: %w", name, err)
		}
		r.models = append(r.models, m)
	}
	return nil
}

// scored are the models as the front door has them.
func (r *ranker) scored() (all []rank.Model) {
	for _, m := range r.models {
		all = append(all, rank.Model{Name: m.name, Scorer: m.scorer})
	}
	return all
}
