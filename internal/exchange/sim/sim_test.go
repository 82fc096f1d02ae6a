package sim

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/people"
)

var start = time.Date(2026, 7, 6, 9, 0, 0, 0, time.UTC)

func source(t testing.TB, change func(*Options)) *Source {
	t.Helper()
	o := Defaults()
	o.Seed, o.Start, o.Users = 1, start, 2000
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRequestsAreOpenRTB decodes requests strictly into the standard types and compares them with their lots.
func TestRequestsAreOpenRTB(t *testing.T) {
	s := source(t, func(o *Options) { o.QuirkShare, o.DealShare = 0, 0.3 })
	var l lot.Lot
	seen := map[string]int{}
	for range 3000 {
		if err := s.Next(&l); err != nil {
			t.Fatal(err)
		}
		var r openrtb2.BidRequest
		d := json.NewDecoder(bytes.NewReader(l.Body))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("lot %d: %v\n%s", l.Seq, err, l.Body)
		}
		if r.ID != l.ID || r.TMax != l.TMax.Milliseconds() || (r.AT == 1) != l.FirstBid || len(r.Imp) != len(l.Imps) {
			t.Fatalf("lot %+v does not match its body %s", l, l.Body)
		}
		if (r.Site == nil) == (r.App == nil) {
			t.Fatalf("want a site or an app: %s", l.Body)
		}
		domain := ""
		if r.Site != nil {
			domain = r.Site.Domain
		} else {
			domain = r.App.Bundle
			seen["app"]++
		}
		if domain != l.Context.Domain || r.Device.Geo.Country != l.Context.Country || int(r.Device.Geo.UTCOffset) != l.Context.UTCOffset ||
			int(r.Device.DeviceType) != l.Context.DeviceType || r.User.Data[0].Segment[0].ID != l.Context.Cluster {
			t.Fatalf("context %+v does not match %s", l.Context, l.Body)
		}
		for i, imp := range r.Imp {
			m := l.Imps[i]
			if imp.ID != m.ID || math.Abs(imp.BidFloor-m.Floor.CPM()) > 1e-9 {
				t.Fatalf("impression %+v does not match %+v", m, imp)
			}
			kinds := 0
			for name, has := range map[string]bool{"banner": imp.Banner != nil, "video": imp.Video != nil, "audio": imp.Audio != nil, "native": imp.Native != nil} {
				if has {
					kinds++
					seen[name]++
				}
			}
			if kinds == 0 {
				t.Fatalf("impression without a format: %s", l.Body)
			}
			if kinds > 1 {
				seen["several formats"]++
			}
			if imp.PMP != nil {
				seen["deals"]++
				if len(imp.PMP.Deals) != len(m.Deals) || imp.PMP.Deals[0].ID != m.Deals[0].ID || (imp.PMP.PrivateAuction == 1) != m.Private {
					t.Fatalf("deals %+v do not match %s", m.Deals, l.Body)
				}
			}
			if m.Rival == 0 {
				seen["no rival"]++
			}
		}
		if len(r.Imp) > 1 {
			seen["several impressions"]++
		}
		if len(r.BCat) > 0 {
			seen["bcat"]++
		}
		if l.FirstBid {
			seen["first price"]++
		}
	}
	for _, what := range []string{"app", "banner", "video", "audio", "native", "several formats", "deals", "no rival", "several impressions", "bcat", "first price"} {
		if seen[what] == 0 {
			t.Errorf("no %s in 3000 lots", what)
		}
	}
}

func TestDeterministic(t *testing.T) {
	a, b := source(t, nil), source(t, nil)
	c := source(t, func(o *Options) { o.Seed = 2 })
	var x, y, z lot.Lot
	for i := range 200 {
		_, _, _ = a.Next(&x), b.Next(&y), c.Next(&z)
		if i == 50 {
			b.Samples(10) // calibration must not change the sequence
		}
		if !bytes.Equal(x.Body, y.Body) || x.Imps[0].Rival != y.Imps[0].Rival {
			t.Fatalf("lot %d differs between equal seeds", i)
		}
		if bytes.Equal(x.Body, z.Body) {
			t.Fatalf("lot %d is equal between seeds", i)
		}
	}
}

func TestUsersAreZipf(t *testing.T) {
	s := source(t, nil)
	count := map[string]int{}
	var l lot.Lot
	const n = 20000
	for range n {
		_ = s.Next(&l)
		_, rest, _ := strings.Cut(string(l.Body), `"user":{"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		count[id]++
	}
	harmonic := 0.0
	for r := 1; r <= 2000; r++ {
		harmonic += 1 / float64(r)
	}
	if got, want := float64(count["u0000000"])/n, 1/harmonic; math.Abs(got/want-1) > 0.15 {
		t.Errorf("share of the first user %.4f, want %.4f", got, want)
	}
}

// TestQuirksKeepTheirMeaning makes every lot badly typed: none decodes strictly, all are JSON of the same structure.
func TestQuirksKeepTheirMeaning(t *testing.T) {
	s := source(t, func(o *Options) { o.QuirkShare = 1 })
	var l lot.Lot
	odd := 0
	for range 300 {
		_ = s.Next(&l)
		if !json.Valid(l.Body) {
			t.Fatalf("not JSON: %s", l.Body)
		}
		var r openrtb2.BidRequest
		if json.Unmarshal(l.Body, &r) != nil {
			odd++
		}
	}
	if odd < 250 {
		t.Errorf("%d of 300 fail a strict decode, want nearly all", odd)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	o := Defaults()
	o.Users, o.DealShare, o.TMaxMin = 0, 2, 500
	if faults := o.Validate(); len(faults) != 3 {
		t.Errorf("faults %v, want 3", faults)
	}
	d := Defaults()
	if faults := d.Validate(); len(faults) != 0 {
		t.Errorf("the defaults have faults: %v", faults)
	}
}

func BenchmarkNext(b *testing.B) {
	s := source(b, nil)
	var l lot.Lot
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Next(&l)
	}
	b.ReportMetric(float64(len(l.Body)), "bytes")
}

// A ranker's users know every device of the traffic: they are the same people.
func TestPeopleKnowTheDevices(t *testing.T) {
	for _, d := range devices {
		p := people.Of(dice.New(1), d.ua, "DEU", 60)
		if device := p.Text(people.Device, time.Time{}); device == "other" {
			t.Errorf("package people lacks the user agent of %s %s", d.os, d.model)
		}
	}
}
