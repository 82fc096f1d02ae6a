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
