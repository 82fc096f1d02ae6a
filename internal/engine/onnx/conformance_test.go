package onnx

import (
	"math/rand/v2"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/enginetest"
)

// tolerance is how far outputs of one row may be apart: kernels sum in another order for another batch size.
const tolerance = 1e-6

func live() int64 { models, batches := Live(); return models + batches }

func TestConformanceOfIndices(t *testing.T) {
	v := version(t, "indices")
	subject := enginetest.Subject{
		Open:      func() (engine.Engine, error) { return Loader(Options{})(t.Context(), v) },
		Spoil:     func(inputs []engine.Column, i int) { inputs[0].Int32[i*8+7] = 100 },
		Tolerance: tolerance,
		Live:      live,
	}
	x, p := golden(t)
	for i := range x {
		subject.Golden = append(subject.Golden, enginetest.Golden{
			Write: func(inputs []engine.Column, j int) { copy(inputs[0].Int32[j*8:], x[i]) },
			Want:  []float64{float64(p[i])},
		})
	}
	enginetest.Run(t, subject)
}

func TestConformanceOfEveryType(t *testing.T) {
	v := version(t, "mixed")
	enginetest.Run(t, enginetest.Subject{
		Open: func() (engine.Engine, error) { return Loader(Options{})(t.Context(), v) },
		Sample: func(in []engine.Column, i int) {
			for j := range 3 {
				in[0].Float32[3*i+j] = rand.Float32()
			}
			in[1].Float64[i] = rand.Float64()
			in[2].Int32[2*i], in[2].Int32[2*i+1] = rand.Int32(), -rand.Int32()
			in[3].Text[i] = []string{"x", "y", "", "a longer text than that", "x\x00y"}[rand.IntN(5)]
			in[4].Int32[i] = rand.Int32N(1000)
		},
		Spoil:     func(in []engine.Column, i int) { in[3].Text[i] = "\xfe" },
		Tolerance: tolerance,
		Live:      live,
		Golden: []enginetest.Golden{{
			Write: func(in []engine.Column, i int) {
				copy(in[0].Float32[3*i:], []float32{1, 2, 4})
				in[1].Float64[i] = 0.5
				copy(in[2].Int32[2*i:], []int32{-2147483648, 2147483647})
				in[3].Text[i] = "y"
				in[4].Int32[i] = -7
			},
			Want: []float64{7, 0.5 - 2147483648 + 20, 0.5 + 2147483647 + 20, -7},
		}, {
			Write: func(in []engine.Column, i int) { in[3].Text[i] = "x\x00" }, // not the text that ends at the zero
			Want:  []float64{0, 0, 0, 0},
		}},
	})
}
