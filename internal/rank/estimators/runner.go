package estimators

import (
	"context"

	"gavel/internal/engine/workers"
)

// A Runner reads estimators and runs them. Its methods may be called by many goroutines at once.
type Runner interface {
	// Endings are those of files that it reads, as ".onnx".
	Endings() []string
	// Prepare reads an estimator and checks that it takes the rows that the source describes.
	Prepare(ctx context.Context, s workers.Source) (Model, error)
	// Checked is called once after Prepare, when the golden profiles hold: the estimator may leave memory from then on.
	Checked(Model)
	// Remove forgets an estimator. Tasks of it are missed from then on.
	Remove(Model)
	// Bytes is what an estimator takes of memory now.
	Bytes(Model) int64
	// NewBag makes room for the tasks of one request.
	NewBag(tasks int) Bag
}

// A Model is an estimator that a runner has prepared, of a type that it alone knows.
type Model any

// A Bag holds the tasks of one request, and their results in place. One goroutine fills it and runs it once.
type Bag interface {
	Len() int
	// Add adds a task of one-hot columns, which ascend. The bag copies them.
	Add(m Model, columns []int32)
	// AddTable adds a task of named columns: a string, float64 or int64 each. The bag keeps the row.
	AddTable(m Model, row []any)
	// Run scores the tasks until ctx ends: those that are left then stay Pending. An error means that nothing was scored.
	Run(ctx context.Context) error
	Outcome(i int) workers.Outcome
	// Probability is that of task i, NaN unless its outcome is Scored.
	Probability(i int) float64
	// Faults are the texts of tasks that failed, by task.
	Faults() map[int]string
}

// WorkerEndings are those of files that workers read.
var WorkerEndings = workers.Endings

// Workers is the runner of a pool of Python processes.
func Workers(pool *workers.Pool) Runner { return pooled{pool} }

type pooled struct{ pool *workers.Pool }

func (p pooled) Endings() []string { return WorkerEndings }

func (p pooled) Prepare(ctx context.Context, s workers.Source) (Model, error) {
	return p.pool.Prepare(ctx, s)
}

func (p pooled) Checked(Model) {}

func (p pooled) Remove(m Model) { p.pool.Remove(m.(*workers.Classifier)) }

func (p pooled) Bytes(m Model) int64 { return m.(*workers.Classifier).Held() }

func (p pooled) NewBag(tasks int) Bag { return pooledBag{workers.NewBag(1, tasks), p.pool} }

type pooledBag struct {
	*workers.Bag
	pool *workers.Pool
}

func (b pooledBag) Add(m Model, columns []int32) { b.Bag.Add(m.(*workers.Classifier), columns) }

func (b pooledBag) AddTable(m Model, row []any) { b.Bag.AddTable(m.(*workers.Classifier), row) }

func (b pooledBag) Run(ctx context.Context) error { return b.pool.Run(ctx, b.Bag) }

func (b pooledBag) Probability(i int) float64 { return b.Bag.Probability(i, 0) }
