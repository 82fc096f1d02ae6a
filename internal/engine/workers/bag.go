package workers

import (
	"fmt"
	"math"
	"sync/atomic"
)

// Outcome is how a task ended.
type Outcome uint8

const (
	Pending Outcome = iota // it was not scored in time
	Scored
	Missed // its classifier has no copy in memory
	Failed // the estimator raised, or the task's workers died; Bag.Faults says why
)

// Bag holds the tasks of one request, and their results in place. It is filled by Add and AddTable from one goroutine, then run
// once. After Pool.Run has returned, its results do not change.
type Bag struct {
	outputs     int
	classifiers []*Classifier
	ends        []uint32 // where a task's part of indices ends
	indices     []int32
	values      []float64 // empty if all are 1
	tables      []table

	mu       lock      // guards what follows until Run returns
	results  []float64 // outputs a task; NaN until it is scored
	outcomes []Outcome
	faults   map[int]string
	left     int
	done     chan struct{} // closed when left is 0

	sealed atomic.Bool // Run has returned or will: tasks are not sent, answers are not stored
}

// NewBag returns an empty bag with room for so many tasks, whose classifiers have so many outputs each.
func NewBag(outputs, tasks int) *Bag {
	return &Bag{outputs: outputs, classifiers: make([]*Classifier, 0, tasks), ends: make([]uint32, 0, tasks)}
}

// Len is the number of tasks.
func (b *Bag) Len() int { return len(b.classifiers) }

// Add adds a task for a classifier of one-hot rows. The columns that are set must ascend and lie within its width; b copies
// them.
func (b *Bag) Add(c *Classifier, columns []int32) {
	b.classifiers = append(b.classifiers, c)
	b.indices = append(b.indices, columns...)
	b.ends = append(b.ends, uint32(len(b.indices)))
}

// AddSparse adds a task whose columns have values of their own, which must be finite. A bag has either such tasks or Add's.
func (b *Bag) AddSparse(c *Classifier, columns []int32, values []float64) {
	b.values = append(b.values, values...)
	b.Add(c, columns)
}

// AddTable adds a task for a classifier of tables. The row has a string, float64 or int64 for each of its columns; b keeps
// it.
func (b *Bag) AddTable(c *Classifier, row []any) {
	b.tables = append(b.tables, table{len(b.classifiers), row})
	b.Add(c, nil)
}

// Probability is output k of task i, NaN unless its outcome is Scored.
func (b *Bag) Probability(i, k int) float64 { return b.results[i*b.outputs+k] }

// Outcome says how task i ended.
func (b *Bag) Outcome(i int) Outcome { return b.outcomes[i] }

// Faults are the texts of tasks that failed, by task.
func (b *Bag) Faults() map[int]string { return b.faults }

// fault says why a task is none that its classifier can take, or nothing. Within a worker nothing looks at a row any more: a
// column beyond its width would be read from other memory.
func (b *Bag) fault(task int) string {
	c := b.classifiers[task]
	if c.outputs != b.outputs {
		return fmt.Sprintf("%s: it has %d outputs, the bag is for %d", c.name, c.outputs, b.outputs)
	}
	row := b.table(task)
	if c.rows == Table {
		return c.tableFault(row)
	}
	if row != nil {
		return c.name + ": it takes one-hot rows, a table was given"
	}
	if len(b.values) > 0 && len(b.values) != len(b.indices) {
		return fmt.Sprintf("%s: the bag has %d values for %d columns", c.name, len(b.values), len(b.indices))
	}
	columns, values := b.row(task)
	last := int32(-1)
	for _, column := range columns {
		if column <= last || int(column) >= c.width {
			return fmt.Sprintf("%s: the columns %v must ascend and be below %d", c.name, columns, c.width)
		}
		last = column
	}
	for _, v := range values {
		if math.IsNaN(v - v) {
			return fmt.Sprintf("%s: the value %v is not finite", c.name, v)
		}
	}
	return ""
}

// begin makes room for results. Waits for the bag's lock are added to waited.
func (b *Bag) begin(waited *atomic.Int64) {
	b.mu.waited = waited
	n := len(b.classifiers)
	b.results, b.outcomes = make([]float64, n*b.outputs), make([]Outcome, n)
	for i := range b.results {
		b.results[i] = math.NaN()
	}
	b.faults, b.left, b.done = map[int]string{}, n, make(chan struct{})
	if n == 0 {
		close(b.done)
	}
}

// end stores the outcome of a task, unless it has one or the bag is sealed. b.mu is held.
func (b *Bag) end(task int, outcome Outcome, fault string) bool {
	if b.sealed.Load() || b.outcomes[task] != Pending {
		return false
	}
	b.outcomes[task] = outcome
	if outcome == Failed {
		b.faults[task] = fault
	}
	if b.left--; b.left == 0 {
		close(b.done)
	}
	return true
}

// fail ends a task with a fault.
func (b *Bag) fail(task int, fault string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(task, Failed, fault)
}

// seal ends the bag: what is not stored by now never is.
func (b *Bag) seal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed.Store(true)
}

// put stores the results of a task, which begin at number at of the answer. b.mu is held.
func (b *Bag) put(task int, a *answer, at int) {
	if b.end(task, Scored, "") {
		for k := range b.outputs {
			b.results[task*b.outputs+k] = a.p(at + k)
		}
	}
}

// row is a task's columns that are set, and their values: none if all are 1.
func (b *Bag) row(task int) (columns []int32, values []float64) {
	begin := uint32(0)
	if task > 0 {
		begin = b.ends[task-1]
	}
	end := b.ends[task]
	if len(b.values) > 0 {
		values = b.values[begin:end]
	}
	return b.indices[begin:end], values
}

// table is a task's row of named columns; nil if it has none.
func (b *Bag) table(task int) []any {
	// Tables ascend by task, and mostly all tasks have one or none has.
	if len(b.tables) == len(b.classifiers) {
		return b.tables[task].row
	}
	for low, high := 0, len(b.tables); low < high; {
		middle := (low + high) / 2
		switch at := b.tables[middle].task; {
		case at == task:
			return b.tables[middle].row
		case at < task:
			low = middle + 1
		default:
			high = middle
		}
	}
	return nil
}
