package tensorflow

import (
	"slices"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
)

func TestConformance(t *testing.T) {
	for _, name := range []string{"a", "deepfm", "pytrain_fm"} {
		t.Run(name, func(t *testing.T) {
			v := fixture(t, name)
			g := readGolden(t, v.Dir)
			subject := enginetest.Subject{
				Open: func() (engine.Engine, error) {
					return Loader(Options{Threading: benchThreading})(t.Context(), v)
				},
				Spoil:     func(inputs []engine.Column, i int) { inputs[0].Int32[i*v.RowLen+v.RowLen-1] = int32(v.TableRows) },
				Tolerance: tolerance,
				Live:      func() int64 { s, b, r := Live(); return s + b + r },
			}
			for k := range g.n {
				subject.Golden = append(subject.Golden, enginetest.Golden{
					Write: func(inputs []engine.Column, i int) { copy(inputs[0].Int32[i*g.f:], g.x[k*g.f:(k+1)*g.f]) },
					Want:  []float64{float64(g.p[k])},
				})
			}
			enginetest.Run(t, subject)
		})
	}
}

// Live counts grow and shrink with what is open: the suite's proof that memory is given back is worth something.
func TestLiveCounts(t *testing.T) {
	s, _ := opened(t, "a")
	sessions, batches, memories := Live()
	b := newBatch(t, s, 4)
	s2, b2, m2 := Live()
	b.Close()
	s3, b3, m3 := Live()
	if got, want := []int64{s2, b2, m2}, []int64{sessions, batches + 1, memories + 1}; !slices.Equal(got, want) {
		t.Errorf("with a batch more: %v, want %v", got, want)
	}
	if got, want := []int64{s3, b3, m3}, []int64{sessions, batches, memories}; !slices.Equal(got, want) {
		t.Errorf("without it again: %v, want %v", got, want)
	}
}
