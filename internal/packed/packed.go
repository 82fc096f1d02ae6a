// Package packed reads msgpack from memory, token by token, and appends it to memory, value by value. What an input only claims, a
// length or a depth, costs the reader nothing.
package packed

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Reader reads tokens. The first error ends it: then every token is nil.
type Reader struct {
	rest []byte
	size int
	err  error
}

// NewReader reads the data, which must not change meanwhile.
func NewReader(data []byte) *Reader { return &Reader{rest: data, size: len(data)} }

// Err is the error that ended the reader.
func (r *Reader) Err() error { return r.err }

// Rest is how many bytes are not read yet.
func (r *Reader) Rest() int { return len(r.rest) }

// Break ends the reader with an error that names the byte, unless it has ended already.
func (r *Reader) Break(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("byte %d: %s", r.size-len(r.rest), fmt.Sprintf(format, args...))
	}
}

// Token is one msgpack value, or the head of a list or map, whose N elements follow.
type Token struct {
	Is      Type
	Flag    bool
	Integer int64
	Float   float64
	Bytes   []byte // of the input: it must be copied to be kept
	N       int
}

// Type is what a token is, as messages call it.
type Type string

// The types of tokens.
const (
	Nil     Type = "nil"
	Flag    Type = "boolean"
	Integer Type = "integer"
	Float   Type = "float"
	Text    Type = "text"
	Binary  Type = "binary"
	List    Type = "list"
	Map     Type = "map"
)

// Next reads a value, or the head of a list or map.
func (r *Reader) Next() Token {
	head := r.take(1)
	if head == nil {
		return Token{Is: Nil}
	}
	c := head[0]
	switch {
	case c < 0x80:
		return Token{Is: Integer, Integer: int64(c)}
	case c >= 0xe0:
		return Token{Is: Integer, Integer: int64(int8(c))}
	case c < 0x90:
		return Token{Is: Map, N: int(c & 15)}
	case c < 0xa0:
		return Token{Is: List, N: int(c & 15)}
	case c < 0xc0:
		return Token{Is: Text, Bytes: r.take(int(c & 31))}
	}
	switch c {
	case 0xc0:
		return Token{Is: Nil}
	case 0xc2, 0xc3:
		return Token{Is: Flag, Flag: c == 0xc3}
	case 0xc4, 0xc5, 0xc6:
		return Token{Is: Binary, Bytes: r.take(int(r.unsigned(1 << (c - 0xc4))))}
	case 0xca:
		return Token{Is: Float, Float: float64(math.Float32frombits(uint32(r.unsigned(4))))}
	case 0xcb:
		return Token{Is: Float, Float: math.Float64frombits(r.unsigned(8))}
	case 0xcc, 0xcd, 0xce, 0xcf:
		u := r.unsigned(1 << (c - 0xcc))
		if u > math.MaxInt64 {
			r.Break("the integer %d is too large", u)
		}
		return Token{Is: Integer, Integer: int64(u)}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		bytes := 1 << (c - 0xd0)
		return Token{Is: Integer, Integer: int64(r.unsigned(bytes)<<(64-8*bytes)) >> (64 - 8*bytes)}
	case 0xd9, 0xda, 0xdb:
		return Token{Is: Text, Bytes: r.take(int(r.unsigned(1 << (c - 0xd9))))}
	case 0xdc, 0xdd:
		return Token{Is: List, N: int(r.unsigned(2 << (c - 0xdc)))}
	case 0xde, 0xdf:
		return Token{Is: Map, N: int(r.unsigned(2 << (c - 0xde)))}
	}
	r.Break("there is no msgpack value that begins with %#x", c)
	return Token{Is: Nil}
}

// Want reads a token of a type. Another one ends the reader.
func (r *Reader) Want(at string, is Type) Token {
	t := r.Next()
	if t.Is != is {
		r.Break("%s is a %s, must be a %s", at, t.Is, is)
		return Token{Is: is}
	}
	return t
}

// Text reads a text in UTF-8 of at most so many bytes.
func (r *Reader) Text(at string, limit int) string {
	t := r.Want(at, Text)
	if len(t.Bytes) > limit || !utf8.Valid(t.Bytes) {
		r.Break("%s has more than %d bytes, or is not UTF-8", at, limit)
		return ""
	}
	return string(t.Bytes)
}

// Object reads a map whose keys are texts, each once. value is called after each key, and reads what belongs to it; it returns
// false if it does not know the key.
func (r *Reader) Object(at string, value func(key string) bool) {
	seen := map[string]bool{}
	for range r.Want(at, Map).N {
		key := r.Text("a key of "+at, 100)
		if r.err == nil && (seen[key] || !value(key)) {
			r.Break("%s has the key %q twice, or it is unknown", at, key)
		}
		if r.err != nil {
			return
		}
		seen[key] = true
	}
}

// take returns the next n bytes; nil if there are not so many.
func (r *Reader) take(n int) []byte {
	if n > len(r.rest) {
		r.Break("the data ends within a value")
	}
	if r.err != nil {
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

// unsigned reads a big-endian number of so many bytes.
func (r *Reader) unsigned(bytes int) uint64 {
	var number [8]byte
	copy(number[8-bytes:], r.take(bytes))
	return binary.BigEndian.Uint64(number[:])
}
