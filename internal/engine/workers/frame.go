package workers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/vmihailenco/msgpack/v5"
)

// Protocol is the version of the frames (docs/workers.md). A process whose hello has another is refused.
const Protocol = 1

// MaxFrameBytes bounds a frame in both directions.
const MaxFrameBytes = 16 << 20

// batchFrame is what a worker is sent: tasks, classifiers to load before them and to drop after them. The columns are as in
// Bag.
type batchFrame struct {
	seq     uint64
	load    []load
	drop    []uint32
	keys    []uint32
	ends    []uint32
	indices []int32
	values  []float64 // empty if all are 1
	tables  []table
}

type load struct {
	key  uint32
	path string
}

type table struct {
	task int
	row  []any // string, float64 or int64
}

func (b *batchFrame) reset() {
	b.load, b.drop, b.keys, b.ends = b.load[:0], b.drop[:0], b.keys[:0], b.ends[:0]
	b.indices, b.values, b.tables = b.indices[:0], b.values[:0], b.tables[:0]
}

// frameWriter encodes frames into one buffer, which it reuses.
type frameWriter struct {
	buf bytes.Buffer
	enc *msgpack.Encoder
	bin []byte
	err error
}

func newFrameWriter() *frameWriter {
	w := &frameWriter{bin: []byte{}} // never nil: msgpack has a nil of its own
	w.enc = msgpack.NewEncoder(&w.buf)
	return w
}

// frame calls body between the length and the end. The bytes hold until the next frame.
func (w *frameWriter) frame(fields int, kind string, body func()) ([]byte, error) {
	w.buf.Reset()
	w.err = nil
	w.buf.Write([]byte{0, 0, 0, 0})
	w.note(w.enc.EncodeMapLen(fields + 1))
	w.text("type", kind)
	body()
	if w.err != nil {
		return nil, fmt.Errorf("workers: cannot encode a %s frame: %w", kind, w.err)
	}
	data := w.buf.Bytes()
	if len(data)-4 > MaxFrameBytes {
		return nil, fmt.Errorf("workers: cannot encode a %s frame: it has %d bytes, may have %d", kind, len(data)-4, MaxFrameBytes)
	}
	binary.LittleEndian.PutUint32(data, uint32(len(data)-4))
	return data, nil
}

func (w *frameWriter) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *frameWriter) text(key, value string) {
	w.note(w.enc.EncodeString(key))
	w.note(w.enc.EncodeString(value))
}

func (w *frameWriter) number(key string, value int64) {
	w.note(w.enc.EncodeString(key))
	w.note(w.enc.EncodeInt(value))
}

func (w *frameWriter) binary(key string, value []byte) {
	w.note(w.enc.EncodeString(key))
	w.note(w.enc.EncodeBytes(value))
}

func (w *frameWriter) batch(b *batchFrame) ([]byte, error) {
	return w.frame(8, "batch", func() {
		w.number("seq", int64(b.seq))
		w.note(w.enc.EncodeString("load"))
		w.note(w.enc.EncodeArrayLen(len(b.load)))
		for _, l := range b.load {
			w.note(w.enc.EncodeArrayLen(2))
			w.note(w.enc.EncodeUint(uint64(l.key)))
			w.note(w.enc.EncodeString(l.path))
		}
		w.note(w.enc.EncodeString("drop"))
		w.note(w.enc.EncodeArrayLen(len(b.drop)))
		for _, key := range b.drop {
			w.note(w.enc.EncodeUint(uint64(key)))
		}
		w.binary("keys", w.column(len(b.keys), 4, func(to []byte, i int) { binary.LittleEndian.PutUint32(to, b.keys[i]) }))
		w.binary("ends", w.column(len(b.ends), 4, func(to []byte, i int) { binary.LittleEndian.PutUint32(to, b.ends[i]) }))
		w.binary("indices", w.column(len(b.indices), 4, func(to []byte, i int) { binary.LittleEndian.PutUint32(to, uint32(b.indices[i])) }))
		w.binary("values", w.column(len(b.values), 8, func(to []byte, i int) {
			binary.LittleEndian.PutUint64(to, math.Float64bits(b.values[i]))
		}))
		w.note(w.enc.EncodeString("tables"))
		w.note(w.enc.EncodeArrayLen(len(b.tables)))
		for _, t := range b.tables {
			w.note(w.enc.EncodeArrayLen(2))
			w.note(w.enc.EncodeInt(int64(t.task)))
			w.note(w.enc.EncodeArrayLen(len(t.row)))
			for _, v := range t.row {
				w.note(w.enc.Encode(v))
			}
		}
	})
}

// column returns n values of the given size, which hold until the next call.
func (w *frameWriter) column(n, size int, put func(to []byte, i int)) []byte {
	if cap(w.bin) < n*size {
		w.bin = make([]byte, n*size)
	}
	w.bin = w.bin[:n*size]
	for i := range n {
		put(w.bin[i*size:], i)
	}
	return w.bin
}

func (w *frameWriter) prepare(seq uint64, s *Source, to string) ([]byte, error) {
	return w.frame(10, "prepare", func() {
		w.number("seq", int64(seq))
		w.text("path", s.Path)
		w.text("to", to)
		w.binary("sha256", s.SHA256[:])
		w.note(w.enc.EncodeString("trusted"))
		w.note(w.enc.EncodeBool(s.Trusted))
		w.text("rows", string(s.Rows))
		w.number("width", int64(s.Width))
		w.text("dtype", s.dtype())
		w.note(w.enc.EncodeString("columns"))
		w.note(w.enc.EncodeArrayLen(len(s.Columns)))
		for _, c := range s.Columns {
			w.note(w.enc.EncodeArrayLen(2))
			w.note(w.enc.EncodeString(c.Name))
			w.note(w.enc.EncodeString(string(c.Type)))
		}
		w.number("positive", int64(s.Positive))
	})
}

func (w *frameWriter) stop() ([]byte, error) { return w.frame(0, "stop", func() {}) }

// answer is what a process says. docs/workers.md has the fields of each type.
type answer struct {
	Type     string   `msgpack:"type"`
	Protocol int      `msgpack:"protocol"`
	PID      int      `msgpack:"pid"`
	Sklearn  string   `msgpack:"sklearn"`
	Threads  int      `msgpack:"threads"`
	Seq      uint64   `msgpack:"seq"`
	P        []byte   `msgpack:"p"`
	US       []byte   `msgpack:"us"`
	Faults   []said   `msgpack:"faults"`
	Loads    []said   `msgpack:"loads"`
	Bytes    int64    `msgpack:"bytes"`
	Labels   []string `msgpack:"labels"`
	Error    string   `msgpack:"error"`
}

// said is a text about a task or a key.
type said struct {
	_msgpack struct{} `msgpack:",as_array"`
	Of       uint32
	Text     string
}

// p is probability i.
func (a *answer) p(i int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(a.P[8*i:]))
}

// us is the µs of task i.
func (a *answer) us(i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(a.US[4*i:]))
}

// answerReader reads answers one after the other. It is safe on any bytes.
type answerReader struct {
	r    io.Reader
	body []byte
	in   bytes.Reader
	dec  *msgpack.Decoder
}

func newAnswerReader(r io.Reader) *answerReader {
	a := &answerReader{r: r}
	a.dec = msgpack.NewDecoder(&a.in)
	a.dec.DisallowUnknownFields(true)
	return a
}

// next waits for the next answer. It returns io.EOF at a clean end. After any other error nothing more can be read.
func (r *answerReader) next() (*answer, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("workers: cannot read an answer: %w", err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxFrameBytes {
		return nil, fmt.Errorf("workers: an answer has %d bytes, may have %d (only frames may go to stdout)", n, MaxFrameBytes)
	}
	if cap(r.body) < int(n) {
		r.body = make([]byte, n)
	}
	r.body = r.body[:n]
	if _, err := io.ReadFull(r.r, r.body); err != nil {
		return nil, fmt.Errorf("workers: cannot read an answer of %d bytes: %w", n, err)
	}
	r.in.Reset(r.body)
	r.dec.ResetReader(&r.in)
	a := new(answer)
	if err := r.dec.Decode(a); err != nil {
		return nil, fmt.Errorf("workers: cannot decode an answer: %w", err)
	}
	if r.in.Len() > 0 {
		return nil, fmt.Errorf("workers: %d bytes stand after an answer's map", r.in.Len())
	}
	switch a.Type {
	case "hello", "prepared":
	case "scored":
		if len(a.P)%8 != 0 || len(a.US)%4 != 0 {
			return nil, fmt.Errorf("workers: an answer's columns have %d and %d bytes, which are no whole numbers", len(a.P), len(a.US))
		}
	default:
		return nil, fmt.Errorf("workers: an answer has the unknown type %q", a.Type)
	}
	return a, nil
}
