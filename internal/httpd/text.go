package httpd

import "encoding/binary"

// tokenBytes are the characters of methods and header names (RFC 9110, 5.6.2).
var tokenBytes = set("!#$%&'*+-.^_`|~")

// hostBytes are the characters of a Host header.
var hostBytes = set("!$%&'()*+,-.:;=[]_~")

func set(others string) (all [256]bool) {
	for i := range all {
		c := byte(i)
		all[i] = isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z'
	}
	for i := range len(others) {
		all[others[i]] = true
	}
	return all
}

func isToken(b []byte) bool { return len(b) > 0 && all(b, &tokenBytes) }

// isHost reports whether b can be the value of a Host header, which may be empty.
func isHost(b []byte) bool { return all(b, &hostBytes) }

func all(b []byte, of *[256]bool) bool {
	for _, c := range b {
		if !of[c] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c-'0' < 10 }

// hexDigit returns the value of a hexadecimal digit; false for any other character.
func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// escaped reports whether each % in b begins an escape of two hexadecimal digits.
func escaped(b []byte) bool {
	for i, c := range b {
		if c != '%' {
			continue
		}
		if i+2 >= len(b) {
			return false
		}
		_, first := hexDigit(b[i+1])
		if _, second := hexDigit(b[i+2]); !first || !second {
			return false
		}
	}
	return true
}

// trim cuts off spaces and tabs at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// printable reports whether b has no control character other than tabs. clean says that it has no tab either. It tests
// eight bytes at once.
func printable(b []byte) (clean, ok bool) {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	clean = true
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		del := x ^ ones*0x7f
		if (((x-ones*0x20)&^x)|((del-ones)&^del))&high != 0 {
			break
		}
		b = b[8:]
	}
	for _, c := range b {
		if c == '\t' {
			clean = false
		} else if c < ' ' || c == 0x7f {
			return false, false
		}
	}
	return clean, true
}

// fold reports whether b, in lower case, equals lower.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
