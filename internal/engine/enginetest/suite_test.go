package enginetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gavel/internal/engine"
)

// errSpoilt is the error of these tests' engines for a spoilt row.
var errSpoilt = errors.New("the row is spoilt")

func spoil(inputs []engine.Column, i int) { inputs[0].Int32[i*inputs[0].Width] = -1 }

func spoilt(inputs []engine.Column, i int) error {
	if inputs[0].Int32[i*inputs[0].Width] == -1 {
		return errSpoilt
	}
	return nil
}

// subject returns a Subject that opens Fakes. Its Live counts the batches of all of them.
func subject(schema engine.Schema, set func(f *Fake)) Subject {
	var mu sync.Mutex
	var opened []*Fake
	return Subject{
		Open: func() (engine.Engine, error) {
			f := NewFake(schema)
			if set != nil {
				set(f)
			}
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, f)
			return f, nil
		},
		Spoil: spoil,
		Live: func() (n int64) {
			mu.Lock()
			defer mu.Unlock()
			for _, f := range opened {
				n += f.Open()
			}
			return n
		},
	}
}

func TestFakeConforms(t *testing.T) {
	f := func(name string, schema engine.Schema, set func(f *Fake), golden ...Golden) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := subject(schema, set)
			s.Golden = golden
			Run(t, s)
		})
	}
	typed := Golden{
		Write: func(inputs []engine.Column, i int) {
			copy(inputs[0].Int32[3*i:], []int32{7, 8, 9})
			inputs[1].Float32[i] = 0.5
			inputs[2].Float32[4*i+3] = -2
			inputs[3].Float64[2*i] = 1e300
			inputs[4].Text[2*i+1] = "word"
		},
		Want: []float64{0.13487333059310913, 0.5663885474205017, 0.08374192705007777, 0.9530717691295284, 0.6100404848010127}, // computed in Python
	}
	f("every type of column, rows refused", Typed(), func(f *Fake) { f.Refuse = spoilt }, typed)
	f("every type of column, rows named", Typed(), func(f *Fake) { f.Fail = spoilt })
	f("every type of column, all bad rows named", Typed(), func(f *Fake) { f.Fail, f.Several = spoilt, true })
	f("indices", Indices(8), func(f *Fake) { f.Refuse = spoilt })
}

// TestSuiteFindsFaults breaks an engine in every way that the suite must find.
func TestSuiteFindsFaults(t *testing.T) {
	f := func(rule string, b broken) {
		t.Helper()
		t.Run(rule, func(t *testing.T) {
			s := subject(Typed(), nil)
			if b.indices {
				s = subject(Indices(4), nil)
			}
			open := s.Open
			s.Open = func() (engine.Engine, error) {
				e, err := open()
				return &brokenEngine{Fake: e.(*Fake), broken: b}, err
			}
			s.Golden = []Golden{{Write: func([]engine.Column, int) {}, Want: NewFake(Typed()).Score(columns(Typed().Inputs, 1), 0)}}
			at := slices.IndexFunc(rules, func(r struct {
				name  string
				check func(testing.TB, *Subject)
			}) bool {
				return strings.Contains(r.name, rule)
			})
			if at < 0 {
				t.Fatal("the suite has no such rule")
			}
			faults := record(t, func(tb testing.TB) { rules[at].check(tb, &s) })
			if len(faults) == 0 {
				t.Error("the rule did not find the fault")
			} else {
				t.Log(faults[0])
			}
		})
	}
	f("the schema is sound", broken{editSchema: func(s *engine.Schema) { s.Outputs = nil }})
	f("the schema is sound", broken{editSchema: func(s *engine.Schema) { s.Inputs[1].Width = 2 }})
	f("zeros scores", broken{run: func(b *brokenBatch, n int) error { return errSpoilt }})
	f("golden rows", broken{run: func(b *brokenBatch, n int) error { b.Outputs()[1].Float64[2]++; return nil }})
	f("depend on that row alone", broken{run: func(b *brokenBatch, n int) error {
		b.Outputs()[0].Float32[0] += float32(n)
		return nil
	}})
	f("leaves inputs and further rows alone", broken{run: func(b *brokenBatch, n int) error {
		if 1 < n && n < rows {
			b.Outputs()[0].Float32[2*n] = 5
		}
		return nil
	}})
	f("leaves inputs and further rows alone", broken{run: func(b *brokenBatch, n int) error { b.Inputs()[4].Text[0] += "x"; return nil }})
	f("a bad row is refused or named", broken{})
	f("a bad row is refused or named", broken{run: func(b *brokenBatch, n int) error {
		for i := range n {
			if spoilt(b.Inputs(), i) != nil {
				return &engine.RowError{Row: (i + 1) % n, Err: errSpoilt}
			}
		}
		return nil
	}})
	f("a bad row is refused or named", broken{run: func(b *brokenBatch, n int) error { // it also changes another row
		for i := range n {
			if err := spoilt(b.Inputs(), i); err != nil {
				b.Inputs()[0].Int32[(i+1)%n*3]++
				return &engine.RowError{Row: i, Err: err}
			}
		}
		return nil
	}})
	several := func(change func(b *brokenBatch, bad int) (named int)) func(b *brokenBatch, n int) error {
		return func(b *brokenBatch, n int) error {
			for i := range n {
				if err := spoilt(b.Inputs(), i); err != nil {
					return &engine.RowErrors{Rows: []engine.RowError{{Row: change(b, i), Err: err}}}
				}
			}
			return nil
		}
	}
	f("a bad row is refused or named", broken{run: several(func(b *brokenBatch, bad int) int { return (bad + 1) % rows })})
	f("a bad row is refused or named", broken{run: several(func(b *brokenBatch, bad int) int { b.Outputs()[0].Float32[2*((bad+1)%rows)] = 5; return bad })})
	var inside atomic.Int64
	f("batches run concurrently", broken{run: func(b *brokenBatch, n int) error { // the output is wrong if another run is under way
		inside.Add(1)
		defer inside.Add(-1)
		runtime.Gosched()
		if inside.Load() > 1 {
			b.Outputs()[0].Float32[0]++
		}
		return nil
	}})
	f("memory is freed", broken{leak: true})
	var kept [][]byte
	f("allocates nothing", broken{indices: true, run: func(b *brokenBatch, n int) error { kept = append(kept, make([]byte, 64)); return nil }})
	runtime.KeepAlive(kept)
}

type broken struct {
	indices    bool
	editSchema func(s *engine.Schema)            // changes the schema that the engine declares
	run        func(b *brokenBatch, n int) error // is called after a sound run
	leak       bool                              // batches are not closed
}

type brokenEngine struct {
	*Fake
	broken
}

func (e *brokenEngine) Schema() *engine.Schema {
	s := *e.Fake.Schema()
	if e.editSchema != nil {
		s.Inputs, s.Outputs = slices.Clone(s.Inputs), slices.Clone(s.Outputs)
		e.editSchema(&s)
	}
	return &s
}

func (e *brokenEngine) NewBatch(capacity int) (engine.Batch, error) {
	b, err := e.Fake.NewBatch(capacity)
	return &brokenBatch{b, e}, err
}

type brokenBatch struct {
	engine.Batch
	e *brokenEngine
}

func (b *brokenBatch) Run(n int) error {
	if err := b.Batch.Run(n); err != nil || b.e.run == nil {
		return err
	}
	return b.e.run(b, n)
}

func (b *brokenBatch) Close() {
	if !b.e.leak {
		b.Batch.Close()
	}
}

// record returns the faults that a check finds.
func record(t *testing.T, check func(testing.TB)) []string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // Fatal ends this goroutine only
		defer close(done)
		check(r)
	}()
	<-done
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	return r.faults
}

type recorder struct {
	testing.TB
	mu       sync.Mutex
	faults   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) {
	r.Errorf("%s", fmt.Sprintln(args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
