package openrtb

import (
	"fmt"
	"testing"

	"gavel/internal/auction"
)

// A floor or a quantity that cannot be read is not one of 0: no bid reaches the impression's floor, and it is counted.
func TestUnreadable(t *testing.T) {
	f := func(imp string, wantFloor auction.Micros, wantCurrency string, wantQuantity float64, wantUnreadable int) {
		t.Helper()
		var r auction.Raw
		body := fmt.Sprintf(`{"id":"r","imp":[{"id":"1","banner":{},%s},{"id":"2","banner":{}}]}`, imp)
		if _, err := Decode([]byte(body), &r, testOptions(t)); err != nil {
			t.Errorf("%s: %v", imp, err)
			return
		}
		got := r.Impressions[0]
		if got.Floor != wantFloor || got.FloorCurrency != wantCurrency || got.Quantity != wantQuantity || r.Unreadable != wantUnreadable {
			t.Errorf("%s: floor %d %s, quantity %v, %d unreadable; want %d %s, %v, %d", imp,
				got.Floor, got.FloorCurrency, got.Quantity, r.Unreadable, wantFloor, wantCurrency, wantQuantity, wantUnreadable)
		}
		if other := r.Impressions[1]; other.Floor != 0 || other.Quantity != 0 {
			t.Errorf("%s: the other impression is %+v", imp, other)
		}
	}
	for _, bad := range []string{
		`1e400`, `-1e400`, `"5,00"`, `"$5"`, `"5 USD"`, `"1e400"`, `"NaN"`, `"Infinity"`, `"0x5"`, `""`, `" "`, `"free"`, `true`, `false`, `"yes"`, `{}`, `{"a":5}`, `[]`, `["$5"]`, `[[5]]`,
	} {
		f(`"bidfloor":`+bad, noFloor, "USD", 0, 1)
		f(`"qty":{"multiplier":`+bad+`}`, noFloor, "USD", 0, 1)
	}
	for _, good := range []string{`1.5`, `"1.5"`, `" 1.5 "`, `[1.5]`, `15e-1`} {
		f(`"bidfloor":`+good, 1500, "USD", 0, 0)
		f(`"qty":{"multiplier":`+good+`}`, 0, "USD", 1.5, 0)
	}
	f(`"bidfloor":null`, 0, "USD", 0, 0)
	f(`"bidfloor":1e-400`, 0, "USD", 0, 0)
	f(`"bidfloor":-1`, 0, "USD", 0, 0)
	f(`"bidfloor":1,"bidfloorcur":{}`, 1000, "?", 0, 0) // a currency that nobody accepts
	f(`"bidfloor":1,"bidfloorcur":[1]`, 1000, "?", 0, 0)
	f(`"bidfloor":1,"bidfloorcur":null`, 1000, "USD", 0, 0)
	f(`"qty":{"multiplier":30.3}`, 0, "USD", 30.3, 0)
	f(`"qty":{"multiplier":1e-9}`, 0, "USD", 0.001, 0)
	f(`"qty":null`, 0, "USD", 0, 0)
	for _, bad := range []string{`{}`, `{"multiplier":0}`, `{"multiplier":-2}`, `{"multiplier":1e7}`, `{"multiplier":null}`, `30`, `"30"`, `[]`} {
		f(`"qty":`+bad, noFloor, "USD", 0, 1)
	}
}

func TestUnreadableDealFloor(t *testing.T) {
	var r auction.Raw
	body := `{"id":"r","imp":[{"id":"1","banner":{},"pmp":{"deals":[{"id":"a","bidfloor":"$5"},{"id":"b","bidfloor":5}]}}]}`
	if _, err := Decode([]byte(body), &r, testOptions(t)); err != nil {
		t.Fatal(err)
	}
	if deals := r.Impressions[0].Deals; r.Unreadable != 1 || deals[0].Floor != noFloor || deals[1].Floor != 5000 {
		t.Errorf("%d unreadable, deals %+v", r.Unreadable, deals)
	}
}
