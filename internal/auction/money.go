package auction

import (
	"fmt"
	"math"
)

// Micros is money: millionths of one unit of currency, for ONE impression, click or conversion, never per mille.
// OpenRTB prices are CPM (per mille, float); only MicrosFromCPM and CPM convert between the two. One micro an
// impression is 0.001 CPM, the smallest price step of Gavel.
type Micros int64

// MicrosFromCPM converts a CPM price to micros per impression, rounded half away from zero. It returns 0, false for a
// price that is not a number or out of range.
func MicrosFromCPM(cpm float64) (Micros, bool) {
	m := math.Round(cpm * 1000)
	if math.IsNaN(m) || math.Abs(m) > math.MaxInt64/2 {
		return 0, false
	}
	return Micros(m), true
}

// MostQuantity is the largest quantity of impressions that one display may count for.
const MostQuantity = 1e6

// mostTimes bounds what Times returns.
const mostTimes = math.MaxInt64 / 4

// Times returns the amount for a quantity of impressions, rounded up. A quantity of 0 means 1.
func (m Micros) Times(quantity float64) Micros {
	if quantity == 0 || quantity == 1 {
		return m
	}
	return Micros(math.Min(math.Ceil(float64(m)*quantity), mostTimes))
}

// CPM returns the price per mille, as OpenRTB writes it.
func (m Micros) CPM() float64 { return float64(m) / 1000 }

// String returns the amount in units of currency with six decimals, as in "1.250000".
func (m Micros) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return fmt.Sprintf("%s%d.%06d", sign, m/1e6, m%1e6)
}
