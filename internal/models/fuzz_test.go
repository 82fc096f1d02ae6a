package models

import (
	"encoding/binary"
	"math"
	"testing"

	"gavel/internal/packed"
)

// What DecodePointer accepts, Encode writes so that it reads back the same.
func FuzzDecodePointer(f *testing.F) {
	for _, s := range []string{
		`{"stable":3}`, `{"stable":3,"previous":2,"canary":{"version":4,"share":0.05}}`, `{"stable":3,"pinned":{"since":"2026-01-02T03:04:05Z","reason":"x"}}`,
		`{"stable":0}`, `{"stable":1e3}`, `{"stable":3}{}`, `{"stable":3,"x":1}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePointer("pointer.json", data)
		if err != nil {
			return
		}
		text, err := p.Encode()
		if err != nil {
			t.Fatalf("%q is accepted and cannot be written: %v", data, err)
		}
		again, err := DecodePointer("pointer.json", text)
		if err != nil || !again.Equal(p) {
			t.Errorf("%q is %v, and written %v, %v", data, p, again, err)
		}
	})
}

// What readGolden accepts has as many rows in each column as it says, and at least the fewest that prove something.
func FuzzReadGolden(f *testing.F) {
	const rows, width = goldenMinRows, 2
	x, p := make([]byte, 4*rows*width), make([]byte, 0, 4*rows)
	for range rows {
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(0.5))
	}
	for _, n := range []int{rows, rows - 1, 1 << 30, -1} {
		b := packed.AppendMap(nil, 4)
		b = packed.AppendInt(packed.AppendText(b, "n"), int64(n))
		b = packed.AppendInt(packed.AppendText(b, "f"), width)
		b = append(packed.AppendBinary(packed.AppendText(b, "x"), len(x)), x...)
		f.Add(append(packed.AppendBinary(packed.AppendText(b, "p"), len(p)), p...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := readGolden(GoldenFile, data, &Manifest{RowLen: width, TableRows: 10})
		if err != nil {
			return
		}
		if g.inputs.Rows < goldenMinRows || g.outputs.Rows != g.inputs.Rows || g.tolerance < 0 || g.tolerance > goldenTolerance {
			t.Errorf("%d rows of inputs, %d of outputs, tolerance %v", g.inputs.Rows, g.outputs.Rows, g.tolerance)
		}
	})
}
