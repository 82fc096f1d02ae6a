package replay_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bytedance/sonic"
	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/replay"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const ownCSV = "\ufeffwhen,clicked,paid,site,cats,os,kind,slot,size,age\n" +
	"2026-03-01 10:00:00,0,0.42,a.example,IAB1|IAB2,android,4,top,728x90,30\n" +
	"2026-03-01 10:00:30,1,0,\"b,c.example\",,ios,,side,300x250,\n"

const ownYAML = `
file: rows.csv
label: clicked
price: paid
time: when
layout: datetime
segments: [age]
fields:
  site.domain: site
  site.cat: cats
  device.os: os
  device.devicetype: kind
  imp.tagid: slot
  imp.size: size
`

func TestOwnCSV(t *testing.T) {
	s, set, err := replay.Open(write(t, map[string]string{"log.yaml": ownYAML, "rows.csv": ownCSV}), "auto", replay.Defaults(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if set != "log" {
		t.Errorf("set %q", set)
	}
	var l lot.Lot
	request := func() *openrtb2.BidRequest {
		t.Helper()
		if err := s.Next(&l); err != nil {
			t.Fatal(err)
		}
		var r openrtb2.BidRequest
		if err := sonic.Unmarshal(l.Body, &r); err != nil {
			t.Fatalf("%v in %s", err, l.Body)
		}
		return &r
	}
	r := request()
	if r.Site.Domain != "a.example" || len(r.Site.Cat) != 2 || r.Device.OS != "android" || r.Device.DeviceType != 4 ||
		r.Imp[0].TagID != "top" || *r.Imp[0].Banner.W != 728 || r.User.Data[0].Name != "age" || r.User.Data[0].Segment[0].ID != "30" {
		t.Errorf("request %s", l.Body)
	}
	if strings.Contains(string(l.Body), "clicked") || l.Imps[0].Label != lot.LabelNo || l.Imps[0].Rival != 420 || l.Due != 0 {
		t.Errorf("lot %+v", l)
	}
	r = request()
	if r.Site.Domain != "b,c.example" || r.Site.Cat != nil || r.User != nil {
		t.Errorf("empty values are left out: %s", l.Body)
	}
	if l.Imps[0].Label != lot.LabelYes || l.Imps[0].Rival != 1 || l.Due != 500*time.Millisecond { // 30 s at speed 60
		t.Errorf("lot %+v", l)
	}
	if err := s.Next(&l); !errors.Is(err, io.EOF) {
		t.Errorf("after the last row: %v", err)
	}
}

func TestOwnRequests(t *testing.T) {
	dir := write(t, map[string]string{
		"log.yaml": "file: rows.ndjson\nlabel: outcome.click\nprice: outcome.micros\nunit: micros\ntime: t\nlayout: unix_ms\nrequest: request\n",
		"rows.ndjson": `{"t": 1000, "outcome": {"click": true, "micros": 350}, "request": {"id": "x", "tmax": 90, "imp": [{"id": "7", "banner": {"w": 300, "h": 250}}], "site": {"domain": "a.example"}}}` + "\n\n" +
			`{"t": 2000, "outcome": {"click": false, "micros": 20}, "request": "{\"id\": \"y\", \"imp\": [{\"id\": \"1\"}]}"}` + "\n",
	})
	s, _, err := replay.Open(dir, "auto", replay.Defaults(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var l lot.Lot
	for _, want := range []lot.Imp{{ID: "7", Rival: 350, Label: lot.LabelYes}, {ID: "1", Rival: 20, Label: lot.LabelNo}} {
		if err := s.Next(&l); err != nil {
			t.Fatal(err)
		}
		if got := l.Imps[0]; got.ID != want.ID || got.Rival != want.Rival || got.Label != want.Label {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if l.ID != "y" || l.Imps[0].Floor != auction.Micros(0) {
		t.Errorf("lot %+v", l)
	}
}

func TestOwnFaults(t *testing.T) {
	f := func(name, yaml, csv string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s, _, err := replay.Open(write(t, map[string]string{"log.yaml": yaml, "rows.csv": csv}), "auto", replay.Defaults(), 1)
			if err == nil {
				defer s.Close()
				var l lot.Lot
				for err == nil {
					err = s.Next(&l)
				}
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q: %v", w, err)
				}
			}
		})
	}
	with := func(old, new string) string { return strings.Replace(ownYAML, old, new, 1) }
	f("many at once", with("layout: datetime", "layout: iso\nunit: eur\nsize: big"), ownCSV, "layout: \"iso\" is unknown", "unit: \"eur\"", "size: \"big\"")
	f("a key", with("label:", "labels:"), ownCSV, "log.yaml", "labels")
	f("a column", with("imp.tagid: slot", "imp.tagid: slots"), ownCSV, `rows.csv has no column "slots"; fix log.yaml`)
	f("a field", with("site.domain", "sites.domain"), ownCSV, `"sites.domain": begin with imp., site.,`)
	f("another file", with("rows.csv", "../rows.csv"), ownCSV, "is no file beside log.yaml")
	f("a label", ownYAML, strings.Replace(ownCSV, ",1,0,", ",maybe,0,", 1), "row 2", "line 3: column clicked: \"maybe\" is no label; write 0 or 1")
	f("a price", ownYAML, strings.Replace(ownCSV, "0.42", "0,42", 1), "row 1")
	f("a time", ownYAML, strings.Replace(ownCSV, "2026-03-01 10:00:00", "1 March", 1), "line 2: column when: \"1 March\" is no time in the layout datetime")
	f("a size", ownYAML, strings.Replace(ownCSV, "728x90", "728", 1), "line 2: column size: \"728\" is no size")
	f("no rows", ownYAML, "", "the file holds no rows")
}
