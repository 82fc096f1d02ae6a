package packed_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/packed"
)

// TestAppend is that each value is read as it was appended, at the ends of each form, and in as many bytes as another
// implementation's shortest form takes.
func TestAppend(t *testing.T) {
	f := func(appended []byte, is packed.Type, same func(packed.Token) bool, want any) {
		t.Helper()
		r := packed.NewReader(appended)
		if got := r.Next(); got.Is != is || !same(got) || r.Err() != nil {
			t.Errorf("%x is read as %+v: %v", appended[:min(len(appended), 16)], got, r.Err())
		}
		if want == nil {
			return
		}
		var other bytes.Buffer
		e := msgpack.NewEncoder(&other)
		e.UseCompactInts(true)
		if err := e.Encode(want); err != nil {
			t.Fatal(err)
		}
		if other.Len() != len(appended) {
			t.Errorf("%x has %d bytes, need be %d", appended[:min(len(appended), 16)], len(appended), other.Len())
		}
	}
	for _, n := range []int{0, 15, 16, 31, 32, 255, 256, math.MaxUint16, math.MaxUint16 + 1} {
		text := strings.Repeat("x", n)
		f(packed.AppendText(nil, text), packed.Text, func(k packed.Token) bool { return string(k.Bytes) == text }, text)
		f(append(packed.AppendBinary(nil, n), text...), packed.Binary, func(k packed.Token) bool { return string(k.Bytes) == text }, []byte(text))
		f(packed.AppendList(nil, n), packed.List, func(k packed.Token) bool { return k.N == n }, nil)
		f(packed.AppendMap(nil, n), packed.Map, func(k packed.Token) bool { return k.N == n }, nil)
	}
	for _, v := range []int64{0, 127, 128, 255, 256, 1 << 15, 1<<16 - 1, 1 << 16, 1<<32 - 1, 1 << 32, math.MaxInt64} {
		is := func(k packed.Token) bool { return k.Integer == v }
		f(packed.AppendNatural(nil, uint64(v)), packed.Integer, is, uint64(v))
		f(packed.AppendInt(nil, v), packed.Integer, is, nil)
		negative := func(k packed.Token) bool { return k.Integer == -v-1 }
		f(packed.AppendInt(nil, -v-1), packed.Integer, negative, -v-1)
	}
	f(packed.AppendFloat64(nil, math.Pi), packed.Float, func(k packed.Token) bool { return k.Float == math.Pi }, math.Pi)
	f(packed.AppendFloat32(nil, 0.1), packed.Float, func(k packed.Token) bool { return k.Float == float64(float32(0.1)) }, float32(0.1))
	f(packed.AppendFlag(nil, true), packed.Flag, func(k packed.Token) bool { return k.Flag }, true)
	f(packed.AppendFlag(nil, false), packed.Flag, func(k packed.Token) bool { return !k.Flag }, false)
	f(packed.AppendNil(nil), packed.Nil, func(packed.Token) bool { return true }, nil)
	f(packed.AppendTexts(nil, []string{"a", "b"}), packed.List, func(k packed.Token) bool { return k.N == 2 }, []string{"a", "b"})
}
