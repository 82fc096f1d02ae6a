package predict

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
)

// scanner reads JSON from data[at:] on, value by value. It accepts what encoding/json accepts, and keeps nothing of data.
type scanner struct {
	data []byte
	at   int
}

// object reads an object. member reads one key with its value.
func (r *scanner) object(member func() error) error {
	if r.next() != '{' {
		return r.unexpected("{")
	}
	r.at++
	if r.next() == '}' {
		r.at++
		return nil
	}
	for {
		if err := member(); err != nil {
			return err
		}
		switch r.next() {
		case ',':
			r.at++
		case '}':
			r.at++
			return nil
		default:
			return r.unexpected(", or }")
		}
	}
}

// list reads a list of whatever item reads. what names it in errors.
func (r *scanner) list(what string, item func() error) error {
	if r.next() != '[' {
		return r.unexpected(what)
	}
	r.at++
	if r.next() == ']' {
		r.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		switch r.next() {
		case ',':
			r.at++
		case ']':
			r.at++
			return nil
		default:
			return r.unexpected(", or ]")
		}
	}
}

// end checks that only white space follows.
func (r *scanner) end() error {
	if r.next(); r.at < len(r.data) {
		return r.unexpected("the end")
	}
	return nil
}

// key reads a key and the colon after it. For a known key it allocates nothing, unless the key has escapes.
func (r *scanner) key(known ...string) (key string, err error) {
	if r.next() != '"' {
		return "", r.unexpected("a key")
	}
	for _, k := range known {
		if r.quoted(k) {
			return k, r.colon()
		}
	}
	if key, err = r.text(); err != nil {
		return "", err
	}
	return key, r.colon()
}

func (r *scanner) colon() error {
	if r.next() != ':' {
		return r.unexpected(":")
	}
	r.at++
	return nil
}

// next skips white space and returns the byte after it without reading it; 0 at the end.
func (r *scanner) next() byte {
	if r.at < len(r.data) && r.data[r.at] > ' ' {
		return r.data[r.at]
	}
	return r.skip()
}

func (r *scanner) skip() byte {
	for ; r.at < len(r.data); r.at++ {
		if c := r.data[r.at]; !space(c) {
			return c
		}
	}
	return 0
}

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// signature reads the name of the signature, which must be want or empty.
func (r *scanner) signature(want string) error {
	switch c := r.next(); {
	case c != '"':
		return r.unexpected("the name of a signature")
	case r.quoted(want):
		return nil
	}
	name, err := r.text()
	if err == nil && name != want && name != "" {
		err = fmt.Errorf("signature_name is %q; the model has only %q", show(name), want)
	}
	return err
}

// quoted reads s in quotes, if that is what follows.
func (r *scanner) quoted(s string) bool {
	rest, n := r.data[r.at:], len(s)
	if len(rest) < n+2 || rest[0] != '"' || rest[n+1] != '"' || string(rest[1:n+1]) != s {
		return false
	}
	r.at += n + 2
	return true
}

// text reads any string.
func (r *scanner) text() (s string, err error) {
	data, err := r.value()
	if err != nil {
		return "", err
	}
	err = json.Unmarshal(data, &s)
	return s, err
}

// digits reads a number of one to seven digits followed by a separator, which covers nearly all indices. If it returns
// false, it has read nothing. It handles eight bytes together: it moves the digits to the end, after zeros. Then it
// joins neighbours into numbers of two digits, these into numbers of four, and these into one.
func (r *scanner) digits() (v uint64, ok bool) {
	r.next()
	if len(r.data)-r.at < 8 {
		return 0, false
	}
	x := binary.LittleEndian.Uint64(r.data[r.at:]) ^ 0x3030303030303030 // digits are 0 to 9 now
	size := bits.TrailingZeros64((x+0x7676767676767676|x)&0x8080808080808080) / 8
	if size == 0 || size > 7 || size > 1 && x&0xff == 0 {
		return 0, false
	}
	if c := r.data[r.at+size]; c != ',' && c != ']' && !space(c) {
		return 0, false
	}
	r.at += size
	x <<= 64 - 8*size
	x = x * (10<<8 + 1) >> 8 & 0x00ff00ff00ff00ff
	x = x * (100<<16 + 1) >> 16 & 0x0000ffff0000ffff
	return x * (10000<<32 + 1) >> 32, true
}

// value reads any value and returns its text.
func (r *scanner) value() ([]byte, error) {
	r.next()
	text := r.data[r.at:r.extent()]
	if len(text) == 0 {
		return nil, r.unexpected("a value")
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("the body is not JSON: %s at byte %d is not a value%s", show(text), r.at, remedyOf(text))
	}
	r.at += len(text)
	return text, nil
}

// extent returns where the value that begins at r.at ends: by its quotes, its brackets, or the separator after it.
func (r *scanner) extent() int {
	depth := 0
	for at := r.at; at < len(r.data); at++ {
		switch r.data[at] {
		case '"':
			for at++; at < len(r.data) && r.data[at] != '"'; at++ {
				if r.data[at] == '\\' {
					at++
				}
			}
			if depth == 0 {
				return min(at+1, len(r.data))
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth < 0 {
				return at
			} else if depth == 0 {
				return at + 1
			}
		case ',', ':', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return at
			}
		}
	}
	return len(r.data)
}

// unexpected is the error for another byte than the expected one.
func (r *scanner) unexpected(want string) error {
	if r.at >= len(r.data) {
		return fmt.Errorf("the body ends where %s is expected, at byte %d", want, r.at)
	}
	return fmt.Errorf("the body has %q where %s is expected, at byte %d", r.data[r.at], want, r.at)
}

// show returns the beginning of text, for a message.
func show[T ~string | ~[]byte](text T) string {
	s := string(text)
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// remedyOf says what to write in place of what Python writes of numbers that JSON does not have.
func remedyOf(text []byte) string {
	switch word := bytes.TrimPrefix(text, []byte("-")); {
	case bytes.HasPrefix(word, []byte("NaN")):
		return "; write null for a missing number"
	case bytes.HasPrefix(word, []byte("Inf")):
		return "; JSON has no infinite numbers"
	default:
		return ""
	}
}
