package trainer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vmihailenco/msgpack/v5"
)

// Protocol is the version of the frames and answers (docs/contracts.md). The trainer refuses a child whose hello has another.
const Protocol = 1

// MaxFrameBytes bounds one frame on the child's stdin.
const MaxFrameBytes = 64 << 20

// FrameKind is the `type` of a frame.
type FrameKind string

const (
	RowsFrame       FrameKind = "rows"
	CheckpointFrame FrameKind = "checkpoint"
	ExportFrame     FrameKind = "export"
	StopFrame       FrameKind = "stop"
)

// Rows holds the examples of one frame, column by column. X holds N × F indices, row after row. Y, W and T
// hold N labels, weights and event times in Unix milliseconds.
type Rows struct {
	F   int
	X   []int32
	Y   []float32
	W   []float32
	T   []int64
	Pos msgpack.RawMessage // stream position after the last row, opaque to the child; empty: nil
}

// N is the number of rows.
func (r *Rows) N() int { return len(r.Y) }

// Add appends one row; it copies x, which must hold F indices.
func (r *Rows) Add(x []int32, y, w float32, t int64) {
	r.X = append(r.X, x...)
	r.Y = append(r.Y, y)
	r.W = append(r.W, w)
	r.T = append(r.T, t)
}

// Reset empties r for the next frame and keeps its memory.
func (r *Rows) Reset() {
	r.X, r.Y, r.W, r.T, r.Pos = r.X[:0], r.Y[:0], r.W[:0], r.T[:0], nil
}

// MaxRows is how many rows of f indices fit one frame.
func MaxRows(f int) int { return (MaxFrameBytes - 4096) / (4*f + 4 + 4 + 8) }

// AppendRows appends a rows frame to dst. It returns an error if the columns' lengths do not agree, or if the frame would be too large.
func AppendRows(dst []byte, r *Rows) ([]byte, error) {
	n := r.N()
	if r.F < 1 || len(r.X) != n*r.F || len(r.W) != n || len(r.T) != n {
		return dst, fmt.Errorf("trainer: cannot encode frame: %d labels need %d × %d indices, as many weights and times, got %d, %d, %d",
			n, n, r.F, len(r.X), len(r.W), len(r.T))
	}
	if n > MaxRows(r.F) {
		return dst, fmt.Errorf("trainer: cannot encode frame: %d rows of %d indices exceed %d bytes; send at most %d rows",
			n, r.F, MaxFrameBytes, MaxRows(r.F))
	}
	return appendMap(dst, func(e *msgpack.Encoder) error {
		return firstError(
			e.EncodeMapLen(8),
			e.EncodeString("type"), e.EncodeString(string(RowsFrame)),
			e.EncodeString("n"), e.EncodeUint(uint64(n)),
			e.EncodeString("f"), e.EncodeUint(uint64(r.F)),
			e.EncodeString("x"), e.EncodeBytes(littleEndian(r.X)),
			e.EncodeString("y"), e.EncodeBytes(littleEndian(r.Y)),
			e.EncodeString("w"), e.EncodeBytes(littleEndian(r.W)),
			e.EncodeString("t"), e.EncodeBytes(littleEndian(r.T)),
			e.EncodeString("pos"), encodePos(e, r.Pos),
		)
	})
}

// AppendControl appends a checkpoint, export or stop frame to dst. Only export uses version.
func AppendControl(dst []byte, kind FrameKind, version int64) ([]byte, error) {
	return appendMap(dst, func(e *msgpack.Encoder) error {
		if kind != ExportFrame {
			return firstError(e.EncodeMapLen(1), e.EncodeString("type"), e.EncodeString(string(kind)))
		}
		return firstError(e.EncodeMapLen(2), e.EncodeString("type"), e.EncodeString(string(kind)),
			e.EncodeString("version"), e.EncodeUint(uint64(version)))
	})
}

func appendMap(dst []byte, encode func(*msgpack.Encoder) error) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	e := msgpack.NewEncoder(buf)
	if err := encode(e); err != nil {
		return dst, fmt.Errorf("trainer: cannot encode frame: %w", err)
	}
	return buf.Bytes(), nil
}

func encodePos(e *msgpack.Encoder, pos msgpack.RawMessage) error {
	if len(pos) == 0 {
		return e.EncodeNil()
	}
	return e.Encode(pos)
}

func littleEndian[T int32 | float32 | int64](column []T) []byte {
	b, err := binary.Append(make([]byte, 0, len(column)*binary.Size(*new(T))), binary.LittleEndian, column)
	if err != nil {
		panic(err) // unreachable: every T has a fixed size
	}
	return b
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// DecodedFrame is a frame as a child reads it. It serves the tests' child, and people who inspect a captured stream.
type DecodedFrame struct {
	Kind    FrameKind
	Version int64
	Rows    Rows
}

// DecodeFrame reads the next frame from d. It returns io.EOF at a clean end.
func DecodeFrame(d *msgpack.Decoder) (*DecodedFrame, error) {
	var raw struct {
		Type    FrameKind          `msgpack:"type"`
		N       int                `msgpack:"n"`
		F       int                `msgpack:"f"`
		X       []byte             `msgpack:"x"`
		Y       []byte             `msgpack:"y"`
		W       []byte             `msgpack:"w"`
		T       []byte             `msgpack:"t"`
		Pos     msgpack.RawMessage `msgpack:"pos"`
		Version int64              `msgpack:"version"`
	}
	if err := d.Decode(&raw); err != nil {
		return nil, err
	}
	frame := &DecodedFrame{Kind: raw.Type, Version: raw.Version}
	if raw.Type != RowsFrame {
		return frame, nil
	}
	if raw.N < 0 || raw.F < 1 || raw.N > MaxRows(raw.F) || len(raw.X) != 4*raw.N*raw.F || len(raw.Y) != 4*raw.N ||
		len(raw.W) != 4*raw.N || len(raw.T) != 8*raw.N {
		return nil, fmt.Errorf("trainer: bad rows frame: n %d, f %d do not agree with %d, %d, %d, %d bytes of x, y, w, t",
			raw.N, raw.F, len(raw.X), len(raw.Y), len(raw.W), len(raw.T))
	}
	r := Rows{F: raw.F, Pos: raw.Pos}
	for i := range raw.N * raw.F {
		r.X = append(r.X, int32(binary.LittleEndian.Uint32(raw.X[4*i:])))
	}
	for i := range raw.N {
		r.Y = append(r.Y, math.Float32frombits(binary.LittleEndian.Uint32(raw.Y[4*i:])))
		r.W = append(r.W, math.Float32frombits(binary.LittleEndian.Uint32(raw.W[4*i:])))
		r.T = append(r.T, int64(binary.LittleEndian.Uint64(raw.T[8*i:])))
	}
	frame.Rows = r
	return frame, nil
}
