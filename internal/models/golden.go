package models

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/engine"
)

const (
	goldenTolerance = 1e-6     // the largest difference from Python's probability
	goldenMinRows   = 16       // fewer rows prove little
	goldenMaxBytes  = 64 << 20 // bounds golden.msgpack
	goldenChunk     = 256      // rows run at a time
)

// golden holds rows and the probabilities that were computed for them when the version was exported.
type golden struct {
	n, f int
	x    []int32   // [n, f]
	p    []float32 // [n]
}

// readGolden reads golden.msgpack and checks its sizes and indices against the manifest.
func readGolden(name string, m *Manifest) (*golden, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, goldenMaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > goldenMaxBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes; a few dozen rows suffice", name, goldenMaxBytes)
	}
	var wire struct {
		N int    `msgpack:"n"`
		F int    `msgpack:"f"`
		X []byte `msgpack:"x"`
		P []byte `msgpack:"p"`
	}
	dec := msgpack.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields(true)
	if err := dec.Decode(&wire); err != nil {
		return nil, fmt.Errorf("%s cannot be decoded: %w", name, err)
	}
	switch {
	case wire.N < goldenMinRows:
		return nil, fmt.Errorf("%s has %d rows, at least %d are needed", name, wire.N, goldenMinRows)
	case wire.F != m.RowLen:
		return nil, fmt.Errorf("%s has rows of %d indices, the manifest says %d", name, wire.F, m.RowLen)
	case wire.N > goldenMaxBytes || len(wire.X) != 4*wire.N*wire.F:
		return nil, fmt.Errorf("%s: x has %d bytes, %d rows of %d int32 need %d", name, len(wire.X), wire.N, wire.F, 4*wire.N*wire.F)
	case len(wire.P) != 4*wire.N:
		return nil, fmt.Errorf("%s: p has %d bytes, %d float32 need %d", name, len(wire.P), wire.N, 4*wire.N)
	}
	g := &golden{n: wire.N, f: wire.F, x: make([]int32, wire.N*wire.F), p: make([]float32, wire.N)}
	for i := range g.x {
		g.x[i] = int32(binary.LittleEndian.Uint32(wire.X[4*i:]))
		if g.x[i] < 0 || int(g.x[i]) >= m.TableRows {
			return nil, fmt.Errorf("%s: row %d has index %d, not in [0, %d)", name, i/g.f, g.x[i], m.TableRows)
		}
	}
	for i := range g.p {
		g.p[i] = math.Float32frombits(binary.LittleEndian.Uint32(wire.P[4*i:]))
	}
	return g, nil
}

// check runs the rows and compares the probabilities. The refusal names the row with the largest difference.
func (g *golden) check(e engine.Engine) error {
	b, err := e.NewBatch(min(g.n, goldenChunk))
	if err != nil {
		return refuse(ReasonGolden, err)
	}
	defer b.Close()
	worst, at, got, off := 0.0, 0, float32(0), 0
	for from := 0; from < g.n; from += goldenChunk {
		n := min(goldenChunk, g.n-from)
		copy(b.Inputs()[0].Int32, g.x[from*g.f:(from+n)*g.f])
		if err := b.Run(n); err != nil {
			return refuse(ReasonGolden, fmt.Errorf("golden rows %d to %d: %w", from, from+n-1, err))
		}
		for i, p := range b.Outputs()[0].Float32[:n] {
			diff := math.Abs(float64(p) - float64(g.p[from+i]))
			if diff <= goldenTolerance { // false for NaN
				continue
			}
			if off++; off == 1 || diff > worst {
				worst, at, got = diff, from+i, p
			}
		}
	}
	if off > 0 {
		return refuse(ReasonGolden, fmt.Errorf("%d of %d golden rows differ by more than %g; row %d gives %v, Python had %v",
			off, g.n, goldenTolerance, at, got, g.p[at]))
	}
	return nil
}
