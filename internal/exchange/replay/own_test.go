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
	f("an unknown field", with("device.os:", "device.oz:"), ownCSV, `"device.oz" is no field of OpenRTB 2`)
	f("an object", with("device.os:", "device.geo:"), ownCSV, `"device.geo" is no field`)
	f("a number", ownYAML, strings.Replace(ownCSV, ",4,top", ",mobile,top", 1), `line 2: column kind: device.devicetype: "mobile" is no number`)
	f("a whole number", ownYAML, strings.Replace(ownCSV, ",4,top", ",4.5,top", 1), `"4.5" is no whole number`)
	f("other letters", ownYAML, strings.Replace(ownCSV, "a.example", "caf\xe9.example", 1), "line 2: column site: \"caf\\xe9.example\" is not UTF-8")
	f("a column twice", ownYAML, strings.Replace(ownCSV, ",age\n", ",os\n", 1), `the column "os" twice`)
	f("an earlier time", ownYAML, strings.Replace(ownCSV, "10:00:30", "09:00:30", 1), "line 3: column when: \"2026-03-01 09:00:30\" is before the row above it; sort the file")
	unix := strings.NewReplacer("2026-03-01 10:00:00", "1772359200000", "2026-03-01 10:00:30", "1772359230000").Replace(ownCSV)
	f("milliseconds", with("datetime", "unix"), unix, `"1772359200000" is later than the year 5000; is the layout unix_ms?`)
}

func TestOwnNDJSON(t *testing.T) {
	f := func(name, line, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			yaml := "file: rows.ndjson\nlabel: y\nsegments: [age]\nfields: {site.cat: cats, device.devicetype: kind, device.ext.tier: tier}\n"
			s, _, err := replay.Open(write(t, map[string]string{"log.yaml": yaml,
				"rows.ndjson": "\ufeff" + `{"y":0,"age":"1","cats":"x","kind":1,"tier":"t"}` + "\n" + line + "\n"}), "auto", replay.Defaults(), 1)
			var l lot.Lot
			if err == nil {
				defer s.Close()
				err = errors.Join(s.Next(&l), s.Next(&l))
			}
			if got := string(l.Body); err != nil && !strings.Contains(err.Error(), want) || err == nil && !strings.Contains(got, want) {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		})
	}
	f("a list", `{"y":true,"cats":["IAB1","IAB|2"]}`, `"cat":["IAB1","IAB|2"]`)
	f("a list in a text", `{"y":true,"cats":"IAB1|IAB2"}`, `"cat":["IAB1","IAB2"]`)
	f("segments", `{"y":1,"age":[3,4]}`, `"segment":[{"id":"3"},{"id":"4"}]`)
	f("a number in a text", `{"y":1,"kind":"4.0"}`, `"devicetype":4`)
	f("an extension", `{"y":1,"tier":7}`, `"ext":{"tier":"7"}`)
	f("several values for one", `{"y":1,"kind":[1,2]}`, "line 2: column kind: device.devicetype: 2 values, and the field holds one")
	f("an object", `{"y":1,"age":{"from":3}}`, "line 2: column age: an object is no value")
	f("a label of two", `{"y":[0,1]}`, `line 2: column y: "[0,1]" is no label`)
	f("two objects", `{"y":1} {"y":0}`, "line 2 holds more than one JSON object")
}
