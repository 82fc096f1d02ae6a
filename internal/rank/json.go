package rank

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// scanner reads JSON from data, value by value. Texts without escapes point into data, others into memory of the scanner's. Bytes
// that are no UTF-8 stay as they are within texts.
type scanner struct {
	data    []byte
	at      int
	escaped []byte // texts that had escapes
}

func (r *scanner) begin(data []byte) {
	r.data, r.at, r.escaped = data, 0, r.escaped[:0]
}

// object reads an object. member is called after each key and its colon, and reads the value.
func (r *scanner) object(what string, member func(key string) error) error {
	return r.items(what, '{', '}', func() error {
		key, err := r.text("a key")
		if err != nil {
			return err
		}
		if r.next() != ':' {
			return r.unexpected("a colon")
		}
		r.at++
		return member(key)
	})
}

// list reads a list. item reads one of its elements.
func (r *scanner) list(what string, item func() error) error { return r.items(what, '[', ']', item) }

func (r *scanner) items(what string, open, end byte, item func() error) error {
	if r.next() != open {
		return r.unexpected(what)
	}
	r.at++
	if r.next() == end {
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
		case end:
			r.at++
			return nil
		default:
			return r.unexpected("a comma or the end of " + what)
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

// next skips white space and returns the byte after it without reading it; 0 at the end.
func (r *scanner) next() byte {
	for ; r.at < len(r.data); r.at++ {
		if c := r.data[r.at]; c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
	}
	return 0
}

// word reads null, true or false, if that is what follows.
func (r *scanner) word(word string) bool {
	r.next()
	if !strings.HasPrefix(unsafe.String(unsafe.SliceData(r.data), len(r.data))[r.at:], word) {
		return false
	}
	r.at += len(word)
	return true
}

// text reads a string.
func (r *scanner) text(what string) (string, error) {
	if r.next() != '"' {
		return "", r.unexpected(what)
	}
	r.at++
	for i := r.at; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			s := r.data[r.at:i]
			r.at = i + 1
			return unsafe.String(unsafe.SliceData(s), len(s)), nil
		case c == '\\':
			return r.unescape(i)
		case c < ' ':
			r.at = i
			return "", r.unexpected("a text without control characters")
		}
	}
	r.at = len(r.data)
	return "", r.unexpected("the end of a text")
}

// unescape reads the rest of a string whose first escape is at i.
func (r *scanner) unescape(i int) (string, error) {
	start := len(r.escaped)
	r.escaped = append(r.escaped, r.data[r.at:i]...)
	for i < len(r.data) {
		c := r.data[i]
		switch {
		case c == '"':
			r.at = i + 1
			s := r.escaped[start:]
			return unsafe.String(unsafe.SliceData(s), len(s)), nil
		case c < ' ':
			r.at = i
			return "", r.unexpected("a text without control characters")
		case c != '\\':
			r.escaped = append(r.escaped, c)
			i++
			continue
		}
		if i+1 >= len(r.data) {
			break
		}
		at := strings.IndexByte(`"\/bfnrt`, r.data[i+1])
		switch {
		case at >= 0:
			r.escaped = append(r.escaped, "\"\\/\b\f\n\r\t"[at])
			i += 2
		case r.data[i+1] == 'u':
			first, ok := hex4(r.data[i+2:])
			if !ok {
				r.at = i
				return "", r.unexpected("an escape such as \\u00e4")
			}
			i += 6
			if utf16.IsSurrogate(first) {
				second := rune(-1)
				if i+1 < len(r.data) && r.data[i] == '\\' && r.data[i+1] == 'u' {
					second, _ = hex4(r.data[i+2:])
				}
				if first = utf16.DecodeRune(first, second); first != utf8.RuneError {
					i += 6
				}
			}
			r.escaped = utf8.AppendRune(r.escaped, first)
		default:
			r.at = i
			return "", r.unexpected("an escape that JSON has")
		}
	}
	r.at = len(r.data)
	return "", r.unexpected("the end of a text")
}

// hex4 reads four hex digits.
func hex4(b []byte) (v rune, ok bool) {
	if len(b) < 4 {
		return -1, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return -1, false
		}
	}
	return v, true
}

// number reads a number and returns its text.
func (r *scanner) number(what string) (string, error) {
	r.next()
	start, i := r.at, r.at
	digits := func() bool {
		from := i
		for i < len(r.data) && r.data[i] >= '0' && r.data[i] <= '9' {
			i++
		}
		return i > from
	}
	is := func(c byte) bool { return i < len(r.data) && r.data[i] == c }
	if is('-') {
		i++
	}
	zero := is('0')
	whole := i
	ok := digits() && !(zero && i > whole+1)
	if ok && is('.') {
		i++
		ok = digits()
	}
	if ok && (is('e') || is('E')) {
		i++
		if is('+') || is('-') {
			i++
		}
		ok = digits()
	}
	if !ok {
		return "", r.unexpected(what)
	}
	r.at = i
	return unsafe.String(&r.data[start], i-start), nil
}

// unexpected is the error for another byte than the expected one.
func (r *scanner) unexpected(want string) error {
	if r.at >= len(r.data) {
		return fmt.Errorf("the body ends where %s is expected, at byte %d", want, r.at)
	}
	return fmt.Errorf("the body has %q where %s is expected, at byte %d", r.data[r.at], want, r.at)
}

// shown returns the beginning of a text of the request, for a message.
func shown(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
