package batcher_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	. "gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
	"gavel/internal/race"
)

// served runs f with a queue over the engine e. Then it closes the pool and checks that every batch is closed.
func served(t testing.TB, o PoolOptions, e *enginetest.Fake, q QueueOptions, f func(q *Queue)) {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	p, err := NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	queue, err := p.NewQueue(e, q)
	if err != nil {
		t.Fatal(err)
	}
	f(queue)
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := e.Open(); n != 0 {
		t.Errorf("%d batches are still open", n)
	}
}

// A row of columns of every type gets what the engine gives it alone, whatever rows share its batch. Some rows are refused,
// fail their run or are abandoned, so that others are moved.
func TestTypedRows(t *testing.T) {
	refused, failed := errors.New("refused"), errors.New("failed")
	marked := func(mark int32, err error) func([]engine.Column, int) error {
		return func(inputs []engine.Column, i int) error {
			if inputs[0].Int32[3*i] == mark {
				return err
			}
			return nil
		}
	}
	for _, policy := range Policies {
		t.Run(string(policy), func(t *testing.T) {
			e := enginetest.NewFake(enginetest.Typed())
			e.Refuse, e.Fail = marked(2000, refused), marked(2001, failed)
			served(t, PoolOptions{Runners: 2}, e, QueueOptions{Policy: policy, MaxRows: 8, MaxWait: time.Millisecond, CalibrationRuns: 1}, func(q *Queue) {
				const width = 5
				var callers sync.WaitGroup
				for range 8 {
					callers.Go(func() {
						own, err := e.NewBatch(16) // keeps what the caller wrote
						if err != nil {
							t.Error(err)
							return
						}
						defer own.Close()
						for range 100 {
							n := 1 + rand.IntN(12)
							tk, err := q.Claim(n, time.Time{})
							if err != nil {
								t.Error(err)
								return
							}
							for i := range n {
								e.Sample(own.Inputs(), i)
								if rand.IntN(10) == 0 {
									own.Inputs()[0].Int32[3*i] = 2000 + rand.Int32N(2)
								}
								inputs, row := tk.Place(i)
								engine.CopyRow(inputs, row, own.Inputs(), i)
							}
							if rand.IntN(2) == 0 {
								tk.Write(own.Inputs())
							}
							if rand.IntN(10) == 0 {
								tk.Abandon()
								continue
							}
							if rand.IntN(2) == 0 {
								tk.Commit()
							}
							errs := make([]error, n)
							_ = tk.WaitColumns(context.Background(), own.Outputs(), errs)
							for i := range n {
								want, wantErr := e.Score(own.Inputs(), i), error(nil)
								switch own.Inputs()[0].Int32[3*i] {
								case 2000:
									want, wantErr = make([]float64, width), refused
								case 2001:
									want, wantErr = make([]float64, width), failed
								}
								got := values(own.Outputs(), i)
								if !slices.Equal(got, want) || !errors.Is(errs[i], wantErr) || (wantErr == nil) != (errs[i] == nil) {
									t.Errorf("row %d of %d: %v, %v; want %v, %v", i, n, got, errs[i], want, wantErr)
									return
								}
							}
						}
					})
				}
				callers.Wait()
			})
		})
	}
}

// values are those of row i of columns of floats.
func values(columns []engine.Column, i int) (out []float64) {
	for k := range columns {
		c := &columns[k]
		for j := i * c.Width; j < (i+1)*c.Width; j++ {
			if c.Type == engine.Float64 {
				out = append(out, c.Float64[j])
			} else {
				out = append(out, float64(c.Float32[j]))
			}
		}
	}
	return out
}

// WaitColumns gives zeros and the error for rows without an answer. For an engine of one float32 it gives the probability.
func TestWaitColumns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginetest.NewFake(enginetest.Indices(2))
		e.Before = func(int) error { time.Sleep(10 * time.Millisecond); return nil }
		served(t, PoolOptions{Runners: 1, RuntimeTimer: true}, e, QueueOptions{}, func(q *Queue) {
			ask := func(ctx context.Context, deadline time.Time) (outputs []float32, errs []error, err error) {
				t.Helper()
				tk, err := q.Claim(2, deadline)
				if err != nil {
					t.Fatal(err)
				}
				copy(tk.Row(1), []int32{3, 4})
				tk.Commit()
				outputs, errs = []float32{7, 7}, make([]error, 2)
				return outputs, errs, tk.WaitColumns(ctx, []engine.Column{{Type: engine.Float32, Width: 1, Float32: outputs}}, errs)
			}
			if outputs, errs, err := ask(context.Background(), time.Time{}); err != nil || errs[1] != nil || outputs[0] == outputs[1] ||
				float64(outputs[0]) != e.Score([]engine.Column{{Type: engine.Int32, Width: 2, Int32: make([]int32, 2)}}, 0)[0] {
				t.Errorf("%v, %v, %v", outputs, errs, err)
			}
			canceled, cancel := context.WithCancel(context.Background())
			cancel()
			for _, name := range []string{"expired", "canceled"} { // in this order: a claim with a deadline is shed while another runs
				end := func() ([]float32, []error, error) { return ask(canceled, time.Time{}) }
				if name == "expired" {
					end = func() ([]float32, []error, error) {
						return ask(context.Background(), time.Now().Add(5*time.Millisecond))
					}
				}
				if outputs, errs, err := end(); !errors.Is(err, ErrExpired) || !slices.Equal(outputs, []float32{0, 0}) || !errors.Is(errs[1], ErrExpired) {
					t.Errorf("%s: %v, %v, %v", name, outputs, errs, err)
				}
			}
		})
	})
}

func TestRowNeedsIndices(t *testing.T) {
	e := enginetest.NewFake(enginetest.Typed())
	served(t, PoolOptions{Runners: 1}, e, QueueOptions{Name: "plan/3"}, func(q *Queue) {
		tk, err := q.Claim(1, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		defer tk.Abandon()
		defer func() {
			if v := fmt.Sprint(recover()); !strings.Contains(v, `queue "plan/3"`) || !strings.Contains(v, "use Place") {
				t.Errorf("panicked with %v", v)
			}
		}()
		tk.Row(0)
	})
}

// A free batch references no text.
func TestTextsAreReleased(t *testing.T) {
	e := enginetest.NewFake(enginetest.Typed())
	served(t, PoolOptions{Runners: 1}, e, QueueOptions{}, func(q *Queue) {
		var freed atomic.Bool
		func() {
			text := string(make([]byte, 1<<16))
			runtime.AddCleanup(unsafe.StringData(text), func(freed *atomic.Bool) { freed.Store(true) }, &freed)
			tk, err := q.Claim(1, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			inputs, row := tk.Place(0)
			inputs[4].Text[2*row] = text
			if err := tk.Wait(context.Background(), make([]Result, 1)); err != nil {
				t.Fatal(err)
			}
		}()
		for end := time.Now().Add(10 * time.Second); !freed.Load() && time.Now().Before(end); {
			runtime.GC()
			runtime.Gosched()
		}
		if !freed.Load() {
			t.Error("the text is still referenced")
		}
	})
}

// Batches are made when they are first needed, one at a time, and kept.
func TestBatchesAreMadeWhenNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := enginetest.NewFake(enginetest.Indices(4))
		e.Make = func(int) error { time.Sleep(time.Millisecond); return nil }
		served(t, PoolOptions{Runners: 2, RuntimeTimer: true}, e, QueueOptions{MaxRows: 8, QueueRows: 32, Policy: Window, MaxWait: time.Second}, func(q *Queue) {
			if n := e.Made(); n != 0 {
				t.Errorf("a new queue made %d batches", n)
			}
			burst := func(rows int) {
				t.Helper()
				var callers sync.WaitGroup
				for range rows {
					callers.Go(func() {
						tk, err := q.Claim(1, time.Time{})
						if err == nil {
							err = tk.Wait(context.Background(), make([]Result, 1))
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
				callers.Wait()
			}
			for _, step := range []struct {
				rows int
				made int64
			}{{8, 1}, {5, 1}, {20, 3}, {8, 3}, {32, 4}} {
				burst(step.rows)
				if n := e.Made(); n > step.made {
					t.Errorf("%d batches made after %d rows at once, want at most %d", n, step.rows, step.made)
				}
			}
		})
	})
}

// If a batch cannot be made, the claim that needs it is shed. The next claim tries again.
func TestBatchThatCannotBeMade(t *testing.T) {
	for _, policy := range Policies {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := enginetest.NewFake(enginetest.Indices(4))
				served(t, PoolOptions{Runners: 1, RuntimeTimer: true}, e, QueueOptions{Name: "ctr/7", Policy: policy}, func(q *Queue) {
					for _, fault := range []func(int) error{
						func(int) error { return errors.New("no memory left") },
						func(int) error { panic("no memory left") },
					} {
						e.Make = func(n int) error { time.Sleep(time.Millisecond); return fault(n) }
						var callers sync.WaitGroup
						for range 5 {
							callers.Go(func() {
								if _, err := q.Claim(1, time.Time{}); !errors.Is(err, ErrShed) ||
									!strings.Contains(err.Error(), "no memory left") || !strings.Contains(err.Error(), "ctr/7") {
									t.Errorf("%v, want ErrShed and the reason", err)
								}
							})
						}
						callers.Wait()
					}
					if s := q.Stats(); s.ShedFull != 10 || s.Rows != 0 {
						t.Errorf("%d rows shed, %d claimed", s.ShedFull, s.Rows)
					}
					e.Make = nil
					tk, err := q.Claim(1, time.Time{})
					if err != nil {
						t.Fatal(err)
					}
					if err := tk.Wait(context.Background(), make([]Result, 1)); err != nil {
						t.Error(err)
					}
				})
			})
		})
	}
}

// NewQueue refuses an engine whose batches do not match its schema.
func TestBatchOfAnotherShape(t *testing.T) {
	p, err := NewPool(PoolOptions{Runners: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := enginetest.NewFake(enginetest.Indices(4))
	wrong := enginetest.Indices(5)
	if _, err := p.NewQueue(otherSchema{e, &wrong}, QueueOptions{CalibrationRuns: 1}); err == nil || !strings.Contains(err.Error(), `column "rows" is int32 of width 4`) {
		t.Errorf("%v", err)
	}
	wrong.Outputs = nil
	if _, err := p.NewQueue(otherSchema{e, &wrong}, QueueOptions{}); err == nil || !strings.Contains(err.Error(), "no output") {
		t.Errorf("%v", err)
	}
	if err := p.Close(context.Background()); err != nil || e.Open() != 0 {
		t.Errorf("%v; %d batches open", err, e.Open())
	}
}

type otherSchema struct {
	*enginetest.Fake
	schema *engine.Schema
}

func (e otherSchema) Schema() *engine.Schema { return e.schema }

// An idle queue holds at most one batch, and less than 64 KiB besides. Every version of a model has a queue.
func TestIdleQueueIsSmall(t *testing.T) {
	const queues, rowLen, maxRows = 20, 64, 128
	p, err := NewPool(PoolOptions{Runners: 2})
	if err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	e := enginetest.NewFake(enginetest.Indices(rowLen))
	before := heap()
	var kept []*Queue
	for range queues {
		q, err := p.NewQueue(e, QueueOptions{MaxRows: maxRows, CalibrationRuns: 2})
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, q)
	}
	each := (heap() - before) / queues
	t.Logf("%d bytes a queue, %d batches in %d queues", each, e.Open(), queues)
	if e.Open() > queues {
		t.Errorf("%d idle queues hold %d batches", queues, e.Open())
	}
	if most := int64(4*maxRows*(rowLen+1) + 64<<10); each > most {
		t.Errorf("an idle queue takes %d bytes, want at most %d", each, most)
	}
	runtime.KeepAlive(kept)
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestOutputsAllocateNothing(t *testing.T) {
	f := func(name string, schema engine.Schema) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := enginetest.NewFake(schema)
			served(t, PoolOptions{Runners: 1}, e, QueueOptions{Policy: Eager}, func(q *Queue) {
				own, err := e.NewBatch(3)
				if err != nil {
					t.Fatal(err)
				}
				defer own.Close()
				errs := make([]error, 3)
				if n := testing.AllocsPerRun(200, func() {
					tk, err := q.Claim(3, time.Time{})
					if err != nil {
						t.Fatal(err)
					}
					tk.Write(own.Inputs())
					if err := tk.WaitColumns(context.Background(), own.Outputs(), errs); err != nil {
						t.Fatal(err)
					}
				}); n > 0 && !race.Enabled {
					t.Errorf("%v allocations", n)
				}
			})
		})
	}
	f("indices", enginetest.Indices(4))
	f("typed", enginetest.Typed())
}
