package openrtb

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/prebid/openrtb/v20/openrtb2"
)

func TestValidateResponse(t *testing.T) {
	const request = `{"id":"r","cur":["EUR","USD"],"imp":[{"id":"1","secure":1,"banner":{"w":300,"h":250,"format":[{"w":728,"h":90}]},
		"pmp":{"deals":[{"id":"d"}]}},{"id":"2","banner":{},"pmp":{"private_auction":1,"deals":[{"id":"e"}]}}]}`
	f := func(response string, want ...string) {
		t.Helper()
		var req openrtb2.BidRequest
		var resp openrtb2.BidResponse
		if err := errors.Join(json.Unmarshal([]byte(request), &req), json.Unmarshal([]byte(response), &resp)); err != nil {
			t.Fatal(err)
		}
		faults := ValidateResponse(&req, &resp)
		if len(faults) != len(want) {
			t.Errorf("%s:\n%d faults %v, want %d", response, len(faults), faults, len(want))
			return
		}
		for i, w := range want {
			if !strings.Contains(faults[i].Error(), w) {
				t.Errorf("%s:\nfault %v, want one with %q", response, faults[i], w)
			}
		}
	}
	bid := func(fields string) string { return `{"id":"r","seatbid":[{"bid":[{` + fields + `}]}]}` }
	const good = `"id":"b","impid":"1","crid":"c","price":1,"adm":"https://x http://y","mtype":1,"w":728,"h":90`
	f(bid(good))
	f(`{"id":"r","nbr":2}`)
	f(`{"id":"r"}`, "neither bids nor nbr")
	f(`{"id":"s","seatbid":[{"bid":[]}]}`, `id is "s"`, "has no bids")
	f(`{"id":"r","cur":"GBP","seatbid":[{"bid":[{`+good+`}]}]}`, `cur is "GBP"`)
	f(`{"id":"r","cur":"EUR","seatbid":[{"bid":[{`+good+`},{`+good+`}]}]}`, "is also the id of another bid")
	f(bid(`"impid":"1"`), ".id is missing", ".price 0", ".crid is missing", "neither adm nor nurl")
	f(bid(`"id":"b","impid":"9","crid":"c","price":1,"nurl":"u"`), `.impid "9"`)
	f(bid(`"id":"b","impid":"1","crid":"c","price":0,"dealid":"d","nurl":"u"`))
	f(bid(`"id":"b","impid":"1","crid":"c","price":-1,"dealid":"x","nurl":"u"`), ".price -1", `.dealid "x"`)
	f(bid(`"id":"b","impid":"2","crid":"c","price":1,"nurl":"u","mtype":1,"w":1,"h":1`), "private auction")
	f(bid(`"id":"b","impid":"1","crid":"c","price":1,"adm":"http://x","mtype":1,"w":300,"h":600`), "secure", "300×600")
	f(bid(`"id":"b","impid":"1","crid":"c","price":1,"nurl":"u","mtype":2`), ".mtype 2")
}
