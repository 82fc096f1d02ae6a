package files

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Escape writes any text so that it can be a file's name, and different texts have different names: every byte but
// A–Z a–z 0–9 _ - becomes % and two upper-case hex digits. From 120 bytes on, it is the first 100 bytes of that, %, and the
// first 16 hex digits of the text's SHA-256. pytrain.ranking.classifier has the same function.
func Escape(text string) string {
	const digits = "0123456789ABCDEF"
	var name strings.Builder
	for _, c := range []byte(text) {
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-' {
			name.WriteByte(c)
		} else {
			name.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	if name.Len() < 120 {
		return name.String()
	}
	sum := sha256.Sum256([]byte(text))
	return name.String()[:100] + "%" + hex.EncodeToString(sum[:8])
}
