package trainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenDir = "../../tests/golden"

// goldenFrame is a frame of frames.bin as frames.json describes it.
type goldenFrame struct {
	Type    FrameKind      `json:"type"`
	N       int            `json:"n,omitempty"`
	F       int            `json:"f,omitempty"`
	X       [][]int32      `json:"x,omitempty"`
	Y       []float32      `json:"y,omitempty"`
	W       []float32      `json:"w,omitempty"`
	T       []int64        `json:"t,omitempty"`
	Pos     map[string]any `json:"pos,omitempty"`
	Version int64          `json:"version,omitempty"`
}

func goldenFrames() []goldenFrame {
	return []goldenFrame{
		{Type: RowsFrame, N: 3, F: 4, X: [][]int32{{1, 5, 0, 17}, {2, 6, 9, 0}, {0, 0, 0, 0}},
			Y: []float32{0, 1, 0}, W: []float32{1, 1, 0.5}, T: []int64{1700000000000, 1700000000001, 1700000000250},
			Pos: map[string]any{"low": 3.0, "high": 7.0, "skip": 0.0}},
		{Type: CheckpointFrame},
		{Type: RowsFrame, N: 1, F: 4, X: [][]int32{{4, 8, 16, 1048575}}, Y: []float32{1}, W: []float32{2.25},
			T: []int64{-1}, Pos: map[string]any{"low": 300.0, "high": 70000.0, "skip": 5000000000.0}},
		{Type: ExportFrame, Version: 300},
		{Type: RowsFrame, N: 2, F: 1, X: [][]int32{{7}, {0}}, Y: []float32{0, 0}, W: []float32{1, 1},
			T: []int64{0, 1}},
		{Type: StopFrame},
	}
}

func encodeGolden(t *testing.T, frames []goldenFrame) []byte {
	t.Helper()
	var out []byte
	for _, g := range frames {
		var err error
		if g.Type != RowsFrame {
			out, err = AppendControl(out, g.Type, g.Version)
		} else {
			r := Rows{F: g.F}
			for i := range g.N {
				r.Add(g.X[i], g.Y[i], g.W[i], g.T[i])
			}
			if g.Pos != nil {
				r.Pos = encodedPos(g.Pos)
			}
			out, err = AppendRows(out, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// encodedPos writes a position with its keys in the order low, high, skip.
func encodedPos(pos map[string]any) []byte {
	var buf bytes.Buffer
	e := msgpack.NewEncoder(&buf)
	_ = e.EncodeMapLen(3)
	for _, key := range []string{"low", "high", "skip"} {
		_ = e.EncodeString(key)
		_ = e.EncodeUint(uint64(pos[key].(float64)))
	}
	return buf.Bytes()
}

func TestGoldenFrames(t *testing.T) {
	encoded := encodeGolden(t, goldenFrames())
	description, err := json.MarshalIndent(map[string]any{
		"about":  "frames.bin, the bytes that a trainer writes to its child's stdin, frame by frame. Rewrite both: go test ./internal/trainer -run TestGoldenFrames -update",
		"frames": goldenFrames()}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	bin, desc := filepath.Join(goldenDir, "frames.bin"), filepath.Join(goldenDir, "frames.json")
	if *update {
		for path, data := range map[string][]byte{bin: encoded, desc: append(description, '\n')} {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encoded, want) {
		t.Fatalf("%s differs from what AppendRows and AppendControl write: %d bytes against %d", bin, len(want), len(encoded))
	}
	var file struct{ Frames []goldenFrame }
	data, err := os.ReadFile(desc)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encodeGolden(t, file.Frames), want) {
		t.Fatalf("%s does not describe %s", desc, bin)
	}
	d := msgpack.NewDecoder(bytes.NewReader(want))
	for i, g := range file.Frames {
		frame, err := DecodeFrame(d)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if frame.Kind != g.Type || frame.Version != g.Version || frame.Rows.N() != g.N {
			t.Errorf("frame %d: got %+v, want %+v", i, frame, g)
		}
		for row := range g.N {
			if got := frame.Rows.X[row*g.F : (row+1)*g.F]; !equalRows(got, g.X[row]) || frame.Rows.Y[row] != g.Y[row] ||
				frame.Rows.W[row] != g.W[row] || frame.Rows.T[row] != g.T[row] {
				t.Errorf("frame %d, row %d: got %v", i, row, got)
			}
		}
	}
	if _, err := DecodeFrame(d); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

func equalRows(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestAppendRowsRefuses(t *testing.T) {
	f := func(name string, r Rows) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			before := []byte("kept")
			out, err := AppendRows(before, &r)
			if err == nil || !bytes.Equal(out, before) {
				t.Fatalf("got %d bytes, error %v; want an error and the bytes before", len(out), err)
			}
		})
	}
	f("indices missing", Rows{F: 2, X: []int32{1}, Y: []float32{1}, W: []float32{1}, T: []int64{0}})
	f("a weight missing", Rows{F: 1, X: []int32{1}, Y: []float32{1}, T: []int64{0}})
	f("no feature", Rows{Y: []float32{1}, W: []float32{1}, T: []int64{0}})
	n := MaxRows(1) + 1
	f("too many rows", Rows{F: 1, X: make([]int32, n), Y: make([]float32, n), W: make([]float32, n), T: make([]int64, n)})
}
