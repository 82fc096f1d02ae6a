package auction

import (
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
)

var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewID returns 26 letters and digits from 128 random bits of the runtime's ChaCha8 generator, which the operating
// system seeds: unique in practice and not to be guessed from other ids. What must be proof against forgery carries a
// signature besides.
func NewID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	var text [26]byte
	idEncoding.Encode(text[:], raw[:])
	return string(text[:])
}
