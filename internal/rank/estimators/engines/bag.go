package engines

import (
	"context"
	"math"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/estimators"
)

// bag is an estimators.Bag: its tasks run one after another, in the goroutine that calls Run.
type bag struct {
	runner  *Runner
	tasks   []task
	columns []int32 // of all tasks
	faults  map[int]string
}

type task struct {
	model       *model
	from, to    int // of its columns
	row         []any
	outcome     workers.Outcome
	probability float64
}

// NewBag implements estimators.Runner.
func (r *Runner) NewBag(tasks int) estimators.Bag {
	return &bag{runner: r, tasks: make([]task, 0, tasks), faults: map[int]string{}}
}

func (b *bag) Len() int { return len(b.tasks) }

func (b *bag) Add(m estimators.Model, columns []int32) {
	from := len(b.columns)
	b.columns = append(b.columns, columns...)
	b.tasks = append(b.tasks, task{model: m.(*model), from: from, to: len(b.columns), probability: math.NaN()})
}

func (b *bag) AddTable(m estimators.Model, row []any) {
	b.tasks = append(b.tasks, task{model: m.(*model), row: row, probability: math.NaN()})
}

func (b *bag) Outcome(i int) workers.Outcome { return b.tasks[i].outcome }

func (b *bag) Probability(i int) float64 { return b.tasks[i].probability }

func (b *bag) Faults() map[int]string { return b.faults }

// Run implements estimators.Bag. Models are not loaded here: a task of one that is absent is missed.
func (b *bag) Run(ctx context.Context) error {
	b.runner.count(b.tasks)
	for i := range b.tasks {
		if ctx.Err() != nil {
			return nil
		}
		t := &b.tasks[i]
		l := t.model.use()
		if l == nil {
			t.outcome = workers.Missed
			b.runner.metrics.missed.Inc()
			continue
		}
		p, err := l.score(b.columns[t.from:t.to], t.row)
		l.release()
		if err != nil {
			t.outcome = workers.Failed
			b.faults[i] = t.model.source.Name + ": " + err.Error()
			continue
		}
		t.outcome, t.probability = workers.Scored, p
	}
	b.runner.metrics.tasks.Add(float64(len(b.tasks)))
	return nil
}
