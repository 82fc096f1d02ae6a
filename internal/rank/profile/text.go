package profile

import (
	"strings"
	"unicode/utf8"
	"unsafe"
)

// plain reports whether a text may be a value: short UTF-8 without control characters. (U+001F joins the values of a cross.)
func plain(s string) bool {
	if len(s) > MaxValue {
		return false
	}
	ascii := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f {
			return false
		} else if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	return ascii || utf8.ValidString(s)
}

// readProvider trims white space and folds A–Z, so that one operator has one value.
func readProvider(text string, lower *[MaxValue]byte) string {
	text = strings.Trim(text, " \t")
	if text == "" {
		return ""
	}
	if !plain(text) {
		return Other
	}
	for i := range len(text) {
		if c := text[i]; c >= 'A' && c <= 'Z' {
			for j := range len(text) {
				lower[j] = fold(text[j])
			}
			return unsafe.String(&lower[0], len(text))
		}
	}
	return text
}

// fold returns the lower case of A–Z, and other bytes as they are.
func fold(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equal reports whether text, in lower case, is lower.
func equal(text, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i := range len(text) {
		if fold(text[i]) != lower[i] {
			return false
		}
	}
	return true
}

// named returns the value of list that text names in any case, Other if there is none, and otherwise if text is empty.
func named(text string, list []string, otherwise string) string {
	if text == "" {
		return otherwise
	}
	for _, v := range list {
		if equal(text, v) {
			return v
		}
	}
	return Other
}
