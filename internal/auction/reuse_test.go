package auction

import (
	"reflect"
	"testing"

	"gavel/internal/race"
)

// fillRequest builds the same request through the reusing builders.
func fillRequest(r *Raw) {
	r.ID = "r"
	r.Currencies = append(r.Currencies, "USD")
	r.BlockedDomains = append(r.BlockedDomains, "a.example", "b.example")
	r.Inventory.Categories = append(r.Inventory.Categories, "IAB1")
	r.User.Segments = append(r.User.Segments, Segment{"d", "v"})
	for _, id := range []string{"1", "2"} {
		imp := r.AddImpression()
		imp.ID = id
		b := imp.UseBanner()
		b.Sizes = append(b.Sizes, Size{300, 250}, Size{728, 90})
		v := imp.UseVideo()
		v.MIMEs = append(v.MIMEs, "video/mp4")
		d := imp.AddDeal()
		d.ID = id
		d.Seats = append(d.Seats, "s1")
	}
	r.Impressions[1].UseAudio().MaxDuration = 30
	n := r.Impressions[0].UseNative()
	n.BlockedAttributes = append(n.BlockedAttributes, 3)
}

func TestResetReusesMemory(t *testing.T) {
	var fresh, used Raw
	fillRequest(&fresh)
	if fresh.Impressions[0].Audio != nil || fresh.Impressions[1].Native != nil || len(fresh.Impressions[1].Banner.Sizes) != 2 {
		t.Fatalf("%+v", fresh)
	}

	// Nothing of an earlier request with more and longer values may remain.
	for range 3 {
		imp := used.AddImpression()
		imp.Secure, imp.PrivateAuction = true, true
		imp.UseNative().Request = "{}"
		imp.UseAudio().Protocols = []int{1, 2, 3}
		for range 4 {
			imp.AddDeal().Advertisers = []string{"x.example"}
		}
	}
	used.Seats = []string{"x"}
	used.Device.Geo.Country = "FR"
	used.Privacy.COPPA = true
	used.Reset()
	if len(used.Impressions) != 0 || used.Device.Geo.Country != "" || len(used.Seats) != 0 || used.Privacy.COPPA {
		t.Fatalf("not empty: %+v", used)
	}
	fillRequest(&used)
	if !reflect.DeepEqual(visible(&used), visible(&fresh)) {
		t.Errorf("got  %+v\nwant %+v", used.Impressions, fresh.Impressions)
	}
	if n := testing.AllocsPerRun(100, func() { used.Reset(); fillRequest(&used) }); n != 0 && !race.Enabled {
		t.Errorf("%v allocations to build the request again", n)
	}
}

// visible is r without spare memory, and with empty slices as nil.
func visible(r *Raw) Draft {
	out := r.Draft
	out.Impressions = nil
	clean := func(v any) {
		rv := reflect.ValueOf(v).Elem()
		for i := range rv.NumField() {
			if f := rv.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 && f.CanSet() {
				f.SetZero()
			}
		}
	}
	for _, imp := range r.Impressions {
		imp.spare = nil
		deals := imp.Deals
		imp.Deals = nil
		for _, d := range deals {
			clean(&d)
			imp.Deals = append(imp.Deals, d)
		}
		if imp.Banner != nil {
			b := *imp.Banner
			clean(&b)
			imp.Banner = &b
		}
		if imp.Video != nil {
			v := *imp.Video
			clean(&v)
			imp.Video = &v
		}
		if imp.Audio != nil {
			a := *imp.Audio
			clean(&a)
			imp.Audio = &a
		}
		if imp.Native != nil {
			n := *imp.Native
			clean(&n)
			imp.Native = &n
		}
		out.Impressions = append(out.Impressions, imp)
	}
	clean(&out)
	clean(&out.Inventory)
	clean(&out.User)
	return out
}
