package auction

import (
	"fmt"
	"math"
)

// Micros is money: millionths of one unit of currency, for ONE impression, click or conversion, never per mille.
// OpenRTB's prices are CPM (per mille, float); MicrosFromCPM and CPM are the only crossings. One micro an
// impression is 0.001 CPM, the finest price Gavel bids or books.
type Micros int64

// MicrosFromCPM turns a CPM price into micros per impression, rounded half away from zero. A price that is not a
// number or does not fit yields 0, false.
func MicrosFromCPM(cpm float64) (Micros, bool) {
	m := math.Round(cpm * 1000)
	if math.IsNaN(m) || math.Abs(m) > math.MaxInt64/2 {
		return 0, false
	}
	return Micros(m), true
}

// CPM is the price per mille, as OpenRTB writes it.
func (m Micros) CPM() float64 { return float64(m) / 1000 }

// String is the amount in units of currency with six digits, as in "1.250000".
func (m Micros) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return fmt.Sprintf("%s%d.%06d", sign, m/1e6, m%1e6)
}
