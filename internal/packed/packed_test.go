package packed

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

func TestNext(t *testing.T) {
	f := func(data string, want Token) {
		t.Helper()
		r := NewReader([]byte(data))
		if got := r.Next(); !reflect.DeepEqual(got, want) || r.Err() != nil || r.Rest() != 0 {
			t.Errorf("% x is %+v, want %+v; %v, %d bytes left", data, got, want, r.Err(), r.Rest())
		}
	}
	integer := func(n int64) Token { return Token{Is: Integer, Integer: n} }
	f("\xc0", Token{Is: Nil})
	f("\xc2", Token{Is: Flag})
	f("\xc3", Token{Is: Flag, Flag: true})
	f("\x00", integer(0))
	f("\x7f", integer(127))
	f("\xff", integer(-1))
	f("\xe0", integer(-32))
	f("\xcc\xff", integer(255))
	f("\xcd\xff\xfe", integer(65534))
	f("\xce\xff\xff\xff\xff", integer(math.MaxUint32))
	f("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", integer(math.MaxInt64))
	f("\xd0\x80", integer(-128))
	f("\xd1\x80\x00", integer(math.MinInt16))
	f("\xd2\x80\x00\x00\x00", integer(math.MinInt32))
	f("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", integer(math.MinInt64))
	f("\xca\x3f\xc0\x00\x00", Token{Is: Float, Float: 1.5})
	f("\xcb\xc0\x00\x00\x00\x00\x00\x00\x00", Token{Is: Float, Float: -2})
	f("\xa0", Token{Is: Text, Bytes: []byte{}})
	f("\xa2no", Token{Is: Text, Bytes: []byte("no")})
	f("\xd9\x02no", Token{Is: Text, Bytes: []byte("no")})
	f("\xda\x00\x02no", Token{Is: Text, Bytes: []byte("no")})
	f("\xdb\x00\x00\x00\x02no", Token{Is: Text, Bytes: []byte("no")})
	f("\xc4\x01\xff", Token{Is: Binary, Bytes: []byte{0xff}})
	f("\xc5\x00\x01\xff", Token{Is: Binary, Bytes: []byte{0xff}})
	f("\xc6\x00\x00\x00\x01\xff", Token{Is: Binary, Bytes: []byte{0xff}})
	f("\x93", Token{Is: List, N: 3})
	f("\xdc\x01\x00", Token{Is: List, N: 256})
	f("\xdd\xff\xff\xff\xff", Token{Is: List, N: math.MaxUint32}) // what it claims costs nothing
	f("\x83", Token{Is: Map, N: 3})
	f("\xde\x01\x00", Token{Is: Map, N: 256})
	f("\xdf\xff\xff\xff\xff", Token{Is: Map, N: math.MaxUint32})
}

func TestFaults(t *testing.T) {
	f := func(data, want string, read func(r *Reader)) {
		t.Helper()
		r := NewReader([]byte(data))
		read(r)
		if r.Err() == nil || !strings.Contains(r.Err().Error(), want) {
			t.Errorf("% x: %v, want %q", data, r.Err(), want)
		}
		if got := r.Next(); got.Is != Nil || got.Bytes != nil {
			t.Errorf("% x: after the error, %+v is read", data, got)
		}
	}
	next := func(r *Reader) { r.Next() }
	f("", "byte 0: the data ends", next)
	f("\xa5four", "byte 1: the data ends within a value", next)
	f("\xd9", "the data ends", next)
	f("\xdb\xff\xff\xff\xff", "the data ends", next)
	f("\xcf\x80\x00\x00\x00\x00\x00\x00\x00", "the integer 9223372036854775808 is too large", next)
	f("\xc1", "no msgpack value that begins with 0xc1", next)
	f("\xd4\x00\x00", "no msgpack value that begins with 0xd4", next) // an extension
	f("\x01", "byte 1: n is a integer, must be a text", func(r *Reader) { r.Text("n", 10) })
	f("\xa3abc", "n has more than 2 bytes", func(r *Reader) { r.Text("n", 2) })
	f("\xa1\xff", "is not UTF-8", func(r *Reader) { r.Text("n", 2) })
	object := func(r *Reader) {
		r.Object("o", func(key string) bool {
			r.Next()
			return key != "no"
		})
	}
	f("\x90", "o is a list, must be a map", object)
	f("\x82\xa1a\x01\xa1a\x02", `o has the key "a" twice, or it is unknown`, object)
	f("\x81\xa2no\x01", `o has the key "no" twice, or it is unknown`, object)
	f("\x81\x01\x01", "a key of o is a integer", object)
	f("\xdf\xff\xff\xff\xff\xa1a\x01", "the data ends", object)
	f("\x01", "byte 0: mine", func(r *Reader) { r.Break("mine"); r.Break("a later one") })
}

func TestObject(t *testing.T) {
	data, err := msgpack.Marshal(map[string]any{"text": "é", "list": []int{1, -7}})
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(data)
	got := map[string]any{}
	r.Object("o", func(key string) bool {
		switch key {
		case "text":
			got[key] = r.Text(key, 2)
		case "list":
			var sum int64
			for range r.Want(key, List).N {
				sum += r.Next().Integer
			}
			got[key] = sum
		}
		return true
	})
	if want := map[string]any{"text": "é", "list": int64(-6)}; !reflect.DeepEqual(got, want) || r.Err() != nil || r.Rest() != 0 {
		t.Errorf("%v, want %v; %v", got, want, r.Err())
	}
}

// skip reads a whole value, nested at most depth times; false if the reader has ended.
func skip(r *Reader, depth int) bool {
	t := r.Next()
	n := t.N
	if t.Is == Map {
		n *= 2
	}
	for range n {
		if depth == 0 || !skip(r, depth-1) {
			return false
		}
	}
	return r.Err() == nil
}

// Whatever the bytes, reading ends, within them. What is read whole, another library reads as well.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"\x93\x01\xa1a\xc0", "\x81\xa1a\xcb\x00\x00\x00\x00\x00\x00\x00\x00", "\xdd\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(data)
		whole := skip(r, 20)
		if r.Rest() < 0 || r.Rest() > len(data) || whole && r.Err() != nil {
			t.Fatalf("%d of %d bytes are left, %v", r.Rest(), len(data), r.Err())
		}
		if !whole {
			return
		}
		read := data[:len(data)-r.Rest()]
		other := bytes.NewReader(data)
		if err := msgpack.NewDecoder(other).Skip(); err != nil || len(data)-other.Len() < len(read) {
			t.Errorf("% x is read, and another library says %v", read, err)
		}
	})
}
