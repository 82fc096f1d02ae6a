package predict

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// texts holds the texts of one request, one after another. A text stays as it is until reset, wherever later ones go.
type texts struct{ memory []byte }

// reset forgets all texts. most is how many bytes the next ones have at most. If kept is false, somebody may still read the
// old ones, so their memory is not used again.
func (t *texts) reset(most int, kept bool) {
	if !kept {
		t.memory = nil
	}
	if t.memory = t.memory[:0]; cap(t.memory) < most {
		t.memory = make([]byte, 0, most)
	}
}

// since returns the text that was appended after the first n bytes.
func (t *texts) since(n int) string {
	return unsafe.String(unsafe.SliceData(t.memory[n:]), len(t.memory)-n)
}

// string reads a JSON string into t. If it returns false, it has read nothing: what follows is no string, or one that
// cannot be a text (badText says why).
func (r *scanner) string(t *texts) (s string, ok bool) {
	if r.next() != '"' {
		return "", false
	}
	body := r.data[r.at+1:]
	end := bytes.IndexByte(body, '"')
	if end < 0 {
		return "", false
	}
	if bytes.IndexByte(body[:end], '\\') >= 0 {
		return r.escaped(t)
	}
	body = body[:end]
	if ascii, clean := plain(body); !clean || !ascii && !utf8.Valid(body) {
		return "", false
	}
	begin := len(t.memory)
	t.memory = append(t.memory, body...)
	r.at += end + 2
	return t.since(begin), true
}

// plain says whether all bytes are ASCII, and whether none is a control character, which JSON wants escaped.
func plain(s []byte) (ascii, clean bool) {
	const high, ones = 0x8080808080808080, 0x0101010101010101
	var all, control uint64
	for len(s) >= 8 {
		x := binary.LittleEndian.Uint64(s)
		all |= x
		control |= (x - 0x20*ones) &^ x // the high bit of a byte is set if it is below 0x20, or behind one that is
		s = s[8:]
	}
	for _, c := range s {
		all |= uint64(c)
		if c < 0x20 {
			control |= high
		}
	}
	return all&high == 0, control&high == 0
}

// escaped is string for one with escapes.
func (r *scanner) escaped(t *texts) (s string, ok bool) {
	begin, data, i := len(t.memory), r.data, r.at+1
	for i < len(data) {
		switch c := data[i]; {
		case c == '"':
			if !utf8.Valid(t.memory[begin:]) {
				t.memory = t.memory[:begin]
				return "", false
			}
			r.at = i + 1
			return t.since(begin), true
		case c < 0x20:
			t.memory = t.memory[:begin]
			return "", false
		case c != '\\':
			t.memory = append(t.memory, c)
			i++
		default:
			n := 0
			if t.memory, n = unescape(t.memory, data[i:]); n == 0 {
				t.memory = t.memory[:begin]
				return "", false
			}
			i += n
		}
	}
	t.memory = t.memory[:begin]
	return "", false
}

// unescape appends what an escape sequence at the beginning of data means. n is its length, 0 if it is none, or half of a
// surrogate pair.
func unescape(dst, data []byte) (to []byte, n int) {
	if len(data) < 2 {
		return dst, 0
	}
	switch c := data[1]; c {
	case '"', '\\', '/':
		return append(dst, c), 2
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	}
	first, ok := codeUnit(data)
	if !ok {
		return dst, 0
	}
	if !utf16.IsSurrogate(first) {
		return utf8.AppendRune(dst, first), 6
	}
	second, ok := codeUnit(data[6:])
	if whole := utf16.DecodeRune(first, second); ok && whole != utf8.RuneError {
		return utf8.AppendRune(dst, whole), 12
	}
	return dst, 0
}

// codeUnit reads \uXXXX.
func codeUnit(data []byte) (unit rune, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	for _, c := range data[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}
