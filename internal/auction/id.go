package auction

import (
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
)

var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewID returns 26 letters and digits that encode 128 random bits. They come from the runtime's ChaCha8 generator,
// which the operating system seeds. Ids are unique in practice, and one cannot be guessed from others. An id does not
// prove where it comes from: what must not be forged needs a signature too.
func NewID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	var text [26]byte
	idEncoding.Encode(text[:], raw[:])
	return string(text[:])
}
