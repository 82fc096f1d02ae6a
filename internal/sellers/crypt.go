package sellers

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// The scheme that Google and OpenX publish for prices in notices:
//
//	base64url(iv ‖ ciphertext ‖ signature), 16 + 8 + 4 bytes, 38 characters
//	pad       = first 8 bytes of HMAC-SHA1(encryption key, iv)
//	price     = ciphertext XOR pad, big endian
//	signature = first 4 bytes of HMAC-SHA1(integrity key, price ‖ iv)
const (
	ivBytes        = 16
	cipherBytes    = 8
	signatureBytes = 4
	encryptedBytes = ivBytes + cipherBytes + signatureBytes
)

// decrypt returns the number in an encrypted price. It returns false if the text was not encrypted with these keys.
func decrypt(text string, encryption, integrity []byte) (uint64, bool) {
	text = strings.TrimRight(text, "=")
	if len(text) != base64.RawURLEncoding.EncodedLen(encryptedBytes) {
		return 0, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0, false
	}
	iv, price, signature := raw[:ivBytes], raw[ivBytes:ivBytes+cipherBytes], raw[ivBytes+cipherBytes:]
	subtle.XORBytes(price, price, mac(encryption, iv)[:cipherBytes])
	if subtle.ConstantTimeCompare(mac(integrity, price, iv)[:signatureBytes], signature) != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint64(price), true
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha1.New, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}
