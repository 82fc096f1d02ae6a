package plan

import (
	"math"
	"math/rand/v2"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
)

func TestConformance(t *testing.T) {
	objects := NewObjects(t.TempDir())
	enginetest.Run(t, enginetest.Subject{
		Open: func() (engine.Engine, error) { return load(t, logistic(), objects) },
		Sample: func(inputs []engine.Column, i int) {
			for k := range inputs {
				c := &inputs[k]
				for j := i * c.Width; j < (i+1)*c.Width; j++ {
					c.Float64[j] = rand.NormFloat64()
				}
			}
		},
		Spoil: func(inputs []engine.Column, i int) { inputs[1].Float64[i] = math.Inf(-1) },
		Live:  objects.live,
		Golden: []enginetest.Golden{{
			Write: func(inputs []engine.Column, i int) {
				copy(inputs[0].Float64[3*i:], []float64{1, 5, 2})
				inputs[1].Float64[i] = -1
			},
			Want: []float64{1 - 0.43782349911420193, 0.43782349911420193, -0.25}, // 2 − 2 · 1 − 0.5 + 0.25
		}},
		GoldenTolerance: 1e-15,
	})
}

// Rows of indices, as auctions have them: a deepfm, made a probability.
func TestConformanceOfIndices(t *testing.T) {
	objects := NewObjects(t.TempDir())
	m := indexed{op: "deepfm", fields: 33, n: 500, k: 8, layers: []int{128, 64, 32}}
	s := &sketch{}
	logit := s.node(m.op, m.set(), m.objects(), s.input(engine.Int32, m.fields))
	p := s.node("link", map[string]any{"kind": "sigmoid"}, nil, s.node("cast", map[string]any{"to": "float64"}, nil, logit))
	s.output(s.node("cast", map[string]any{"to": "float32"}, nil, p))
	golden := m.rows(1, 0, 9)
	enginetest.Run(t, enginetest.Subject{
		Open: func() (engine.Engine, error) { return load(t, s.plan, objects) },
		Sample: func(inputs []engine.Column, i int) {
			copy(inputs[0].Int32[i*m.fields:], m.rows(1, 0, rand.Uint64()))
		},
		Spoil: func(inputs []engine.Column, i int) { inputs[0].Int32[(i+1)*m.fields-1] = int32(m.n) },
		Live:  objects.live,
		Golden: []enginetest.Golden{{
			Write: func(inputs []engine.Column, i int) { copy(inputs[0].Int32[i*m.fields:], golden) },
			Want:  []float64{1 / (1 + math.Exp(-m.want(m.objects(), golden)))},
		}},
		GoldenTolerance: 1e-6,
	})
}
