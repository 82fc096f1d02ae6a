package codec

import (
	"fmt"
	"math"
)

// reader reads nested arrays of positional fields. Fields that an older writer did not know are zero. Fields that a newer
// writer added at the end are skipped. So a schema can grow at the end of its arrays without a new number. err keeps the
// first fault; everything read after it is zero.
type reader struct {
	b    []byte
	off  int
	left int // fields of the open array not read yet
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %d of %d: %s", r.off, len(r.b), fmt.Sprintf(format, args...))
	}
}

// take returns the next n bytes, or nil if fewer are left.
func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || len(r.b)-r.off < n {
		r.fail("%d bytes wanted, the value is cut off", n)
		return nil
	}
	p := r.b[r.off : r.off+n]
	r.off += n
	return p
}

// field reports whether the open array has another field, and counts it as read.
func (r *reader) field() bool {
	if r.err != nil || r.left == 0 {
		return false
	}
	r.left--
	return true
}

func (r *reader) tag() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0xc1 // never used by msgpack
}

func (r *reader) uint(n int) uint64 {
	var v uint64
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// arrayLen reads an array's head; -1 for nil. An element takes at least one byte. So arrayLen refuses a length that exceeds
// the rest of the buffer, before memory is allocated for it.
func (r *reader) arrayLen() int {
	var n uint64
	switch t := r.tag(); {
	case t == 0xc0:
		return -1
	case t&0xf0 == 0x90:
		n = uint64(t & 0x0f)
	case t == 0xdc:
		n = r.uint(2)
	case t == 0xdd:
		n = r.uint(4)
	default:
		r.fail("an array expected, tag 0x%02x found", t)
	}
	if r.err == nil && n > uint64(len(r.b)-r.off) {
		r.fail("an array of %d elements cannot fit", n)
	}
	if r.err != nil {
		return -1
	}
	return int(n)
}

// open enters the array that is the next field; ok is false if it is nil or missing. close leaves it.
func (r *reader) open() (outer int, ok bool) {
	if !r.field() {
		outer, r.left = r.left, 0
		return outer, false
	}
	n := r.arrayLen()
	outer = r.left
	r.left = max(n, 0)
	return outer, n >= 0
}

func (r *reader) close(outer int) {
	for r.err == nil && r.left > 0 {
		r.left--
		r.skip(0)
	}
	r.left = outer
}

func (r *reader) bool() bool {
	if !r.field() {
		return false
	}
	switch t := r.tag(); t {
	case 0xc2:
		return false
	case 0xc3:
		return true
	default:
		r.fail("a boolean expected, tag 0x%02x found", t)
		return false
	}
}

func (r *reader) int() int64 {
	if !r.field() {
		return 0
	}
	switch t := r.tag(); {
	case t < 0x80:
		return int64(t)
	case t >= 0xe0:
		return int64(int8(t))
	case t >= 0xcc && t <= 0xcf:
		v := r.uint(1 << (t - 0xcc))
		if v > math.MaxInt64 {
			r.fail("integer %d does not fit 63 bits", v)
			return 0
		}
		return int64(v)
	case t == 0xd0:
		return int64(int8(r.uint(1)))
	case t == 0xd1:
		return int64(int16(r.uint(2)))
	case t == 0xd2:
		return int64(int32(r.uint(4)))
	case t == 0xd3:
		return int64(r.uint(8))
	default:
		r.fail("an integer expected, tag 0x%02x found", t)
		return 0
	}
}

func (r *reader) float32() float32 {
	if !r.field() {
		return 0
	}
	if t := r.tag(); t != 0xca {
		r.fail("a float32 expected, tag 0x%02x found", t)
		return 0
	}
	return math.Float32frombits(uint32(r.uint(4)))
}

func (r *reader) float64() float64 {
	if !r.field() {
		return 0
	}
	if t := r.tag(); t != 0xcb {
		r.fail("a float64 expected, tag 0x%02x found", t)
		return 0
	}
	return math.Float64frombits(r.uint(8))
}

// bytes returns the next string's bytes. They point into the buffer.
func (r *reader) bytes() []byte {
	if !r.field() {
		return nil
	}
	var n uint64
	switch t := r.tag(); {
	case t&0xe0 == 0xa0:
		n = uint64(t & 0x1f)
	case t >= 0xd9 && t <= 0xdb:
		n = r.uint(1 << (t - 0xd9))
	default:
		r.fail("a string expected, tag 0x%02x found", t)
		return nil
	}
	return r.take(int(n))
}

func (r *reader) str() string { return string(r.bytes()) }

// strs and ints give nil for an empty list.
func (r *reader) strs() []string {
	outer, _ := r.open()
	defer r.close(outer)
	if r.left == 0 {
		return nil
	}
	out := make([]string, 0, r.left)
	for r.err == nil && r.left > 0 {
		out = append(out, r.str())
	}
	return out
}

func (r *reader) ints() []int {
	outer, _ := r.open()
	defer r.close(outer)
	if r.left == 0 {
		return nil
	}
	out := make([]int, 0, r.left)
	for r.err == nil && r.left > 0 {
		out = append(out, int(r.int()))
	}
	return out
}

// maxDepth bounds the nesting of values that are skipped unread.
const maxDepth = 16

// skip skips one value of any msgpack type, so that later schemas may add fields.
func (r *reader) skip(depth int) {
	if depth > maxDepth {
		r.fail("values nested deeper than %d", maxDepth)
		return
	}
	elems := func(n uint64) {
		for ; n > 0 && r.err == nil; n-- {
			r.skip(depth + 1)
		}
	}
	switch t := r.tag(); {
	case t < 0x80, t >= 0xe0, t == 0xc0, t == 0xc2, t == 0xc3:
	case t&0xf0 == 0x80:
		elems(2 * uint64(t&0x0f))
	case t&0xf0 == 0x90:
		elems(uint64(t & 0x0f))
	case t&0xe0 == 0xa0:
		r.take(int(t & 0x1f))
	case t >= 0xc4 && t <= 0xc6: // bin
		r.take(int(r.uint(1 << (t - 0xc4))))
	case t >= 0xc7 && t <= 0xc9: // ext
		r.take(int(r.uint(1<<(t-0xc7))) + 1)
	case t == 0xca:
		r.take(4)
	case t == 0xcb:
		r.take(8)
	case t >= 0xcc && t <= 0xcf:
		r.take(1 << (t - 0xcc))
	case t >= 0xd0 && t <= 0xd3:
		r.take(1 << (t - 0xd0))
	case t >= 0xd4 && t <= 0xd8: // fixext
		r.take(1<<(t-0xd4) + 1)
	case t >= 0xd9 && t <= 0xdb:
		r.take(int(r.uint(1 << (t - 0xd9))))
	case t == 0xdc:
		elems(r.uint(2))
	case t == 0xdd:
		elems(r.uint(4))
	case t == 0xde:
		elems(2 * r.uint(2))
	case t == 0xdf:
		elems(2 * r.uint(4))
	default:
		r.fail("tag 0x%02x is no msgpack", t)
	}
}
