package auctionhouse

import (
	"encoding/base64"
	"strconv"
	"strings"

	"gavel/internal/auction"
)

// Macros are the values of OpenRTB's substitution macros (section 4.4 of 2.6) for one bid.
type Macros struct {
	AuctionID string         // BidRequest.id
	BidID     string         // BidResponse.bidid
	ImpID     string         // imp.id
	SeatID    string         // seatbid.seat
	AdID      string         // bid.adid
	Currency  string         // the currency of Price
	Price     auction.Micros // clearing price; for a loss, what the winner paid, 0 if it is not reported
	MinToWin  auction.Micros // the lowest price that would have won
	Loss      int64          // loss reason, OpenRTB list 5.25; 0 for a win
	ImpTimeMs int64          // when the impression was shown, Unix ms; 0: not shown yet
}

const macroStart = "${AUCTION_"

// Expand replaces every macro in s. `${AUCTION_PRICE:B64}` and the like give the value in standard base64. An unknown
// macro that begins with ${AUCTION_ becomes empty, as the standard prescribes for unknown values. Other text in ${…} is
// not changed.
func (m *Macros) Expand(s string) string {
	i := strings.Index(s, macroStart)
	if i < 0 {
		return s
	}
	var out strings.Builder
	out.Grow(len(s) + 64)
	for i >= 0 {
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			break
		}
		out.WriteString(s[:i])
		name, encoding, _ := strings.Cut(s[i+len(macroStart):i+end], ":")
		value := m.value(name)
		if encoding == "B64" {
			value = base64.StdEncoding.EncodeToString([]byte(value))
		}
		out.WriteString(value)
		s = s[i+end+1:]
		i = strings.Index(s, macroStart)
	}
	out.WriteString(s)
	return out.String()
}

func (m *Macros) value(name string) string {
	switch name {
	case "ID":
		return m.AuctionID
	case "BID_ID":
		return m.BidID
	case "IMP_ID":
		return m.ImpID
	case "SEAT_ID":
		return m.SeatID
	case "AD_ID":
		return m.AdID
	case "CURRENCY":
		return m.Currency
	case "PRICE":
		return price(m.Price)
	case "MIN_TO_WIN":
		return price(m.MinToWin)
	case "MULTIPLIER":
		return "1"
	case "LOSS":
		return strconv.FormatInt(m.Loss, 10)
	case "IMP_TS":
		if m.ImpTimeMs > 0 {
			return strconv.FormatInt(m.ImpTimeMs, 10)
		}
	}
	return ""
}

// price returns CPM with up to three decimals, which is exact for micros. For 0, which means unknown, it returns "".
func price(m auction.Micros) string {
	if m == 0 {
		return ""
	}
	return strconv.FormatFloat(m.CPM(), 'f', -1, 64)
}
