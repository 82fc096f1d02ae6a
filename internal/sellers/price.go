package sellers

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gavel/internal/auction"
)

// priceForm reads the prices of a seller's notices.
type priceForm struct {
	form                  Form
	rate                  float64
	encryption, integrity []byte // of google and openx
}

// Price reads the price of one impression from a notice, in the campaigns' currency. It returns false if the text is no
// price in the seller's form: a macro that was not filled in, say, or one encrypted with other keys.
func (s *Seller) Price(text string) (auction.Micros, bool) {
	p := &s.price
	var cpm float64
	switch p.form {
	case Google: // millionths of a CPM
		n, ok := decrypt(text, p.encryption, p.integrity)
		if !ok {
			return 0, false
		}
		cpm = float64(n) / 1e6
	case OpenX: // millionths for one impression
		n, ok := decrypt(text, p.encryption, p.integrity)
		if !ok {
			return 0, false
		}
		cpm = float64(n) / 1e3
	default:
		var err error
		if cpm, err = ParseAmount(text); err != nil {
			return 0, false
		}
	}
	return auction.MicrosFromCPM(math.Min(cpm*p.rate, mostCPM))
}

// mostCPM bounds prices, so that they can be multiplied. A bid is far below it.
const mostCPM = 1e9

// ParseAmount reads an amount of 0 or more: digits, a point, an exponent. Signs, hex and words are errors, and so is an
// amount that is too large for a number. One that is too small is 0.
func ParseAmount(s string) (float64, error) {
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
