package notices

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseDecimal reads an amount of 0 or more: digits, a point, an exponent. Signs, hex and words are errors.
func parseDecimal(s string) (float64, error) {
	if len(s) == 0 || len(s) > 32 {
		return 0, fmt.Errorf("%d characters, want 1 to 32", len(s))
	}
	if s[0] == '-' || s[0] == '+' || strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, errors.New("not a decimal number")
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, errors.New("not a decimal number")
	}
	return v, nil
}

// shortID returns an advertiser's conversion id if it is short, else a hash of it.
func shortID(id string) string {
	if len(id) <= 64 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
