package notices

import (
	"crypto/sha256"
	"encoding/hex"
)

// shortID returns an advertiser's conversion id if it is short, else a hash of it.
func shortID(id string) string {
	if len(id) <= 64 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
