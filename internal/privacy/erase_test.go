package privacy_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gavel/internal/auction"
	"gavel/internal/privacy/privacytest"
)

// full returns a raw request in which every field has a value of its own.
func full() *auction.Raw {
	raw := &auction.Raw{}
	n := 0
	var fill func(v reflect.Value, path string)
	fill = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Name != "Privacy" {
					fill(v.Field(i), path+"."+f.Name)
				}
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), path)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), path)
		case reflect.String:
			v.SetString("value of " + strings.TrimPrefix(path, "."))
		case reflect.Int, reflect.Int64, reflect.Int8:
			n++
			v.SetInt(int64(1000 + n))
		case reflect.Bool:
			v.SetBool(true)
		}
	}
	fill(reflect.ValueOf(&raw.Draft).Elem(), "")
	raw.Inventory.Page = "https://user@site.example/path?value of Inventory.Page#x"
	return raw
}

// left lists the fields of a request that have a value.
func left(req *auction.Request) (paths []string) {
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Name != "Privacy" && f.Name != "Impressions" {
					walk(v.Field(i), strings.TrimPrefix(path+"."+f.Name, "."))
				}
			}
		case reflect.Slice:
			if v.Len() > 0 {
				paths = append(paths, path)
			}
		default:
			if !v.IsZero() {
				paths = append(paths, path)
			}
		}
	}
	walk(reflect.ValueOf(req).Elem(), "")
	return slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(p, "Received") || strings.HasPrefix(p, "Deadline") })
}

// Every field of a request either stays or is erased. A new field must be put into one of the lists.
func TestErase(t *testing.T) {
	stays := []string{
		"ID", "Exchange", "Test", "Type", "Currencies", "BlockedCategories", "BlockedDomains", "BlockedApps", "Seats", "BlockedSeats",
		"Inventory.Kind", "Inventory.ID", "Inventory.Name", "Inventory.Domain", "Inventory.Bundle", "Inventory.Page", "Inventory.Publisher",
		"Inventory.Categories", "Inventory.Language", "Inventory.Keywords",
		"Device.Type", "Device.OS", "Device.Language", "Device.Connection", "Device.LimitAds",
		"Device.Geo.Country", "Device.Geo.Region", "Device.Geo.UTCOffset", "Device.Geo.HasOffset",
	}
	detail := []string{"Device.UserAgent", "Device.OSVersion", "Device.Make", "Device.Model", "Device.Carrier", "Device.W", "Device.H"}
	erased := []string{
		"Device.IP", "Device.Geo.City", "Device.Geo.Zip", "Device.Geo.Metro",
		"User.ID", "User.BuyerUID", "User.YearOfBirth", "User.Gender", "User.Keywords", "User.Segments",
	}
	f := func(name string, deviceDetail bool, signals auction.Signals, want ...[]string) {
		t.Helper()
		r := rules()
		r.DeviceDetail = deviceDetail
		raw := full()
		raw.Signals = signals
		req, reason := privacytest.New(t, r).Apply(raw)
		if reason != auction.NoBidNone {
			t.Fatal(reason)
		}
		got, expected := left(req), slices.Concat(want...)
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("%s: left\n%v\nwant\n%v", name, got, expected)
		}
		if len(want) < 3 && req.Inventory.Page != "site.example/path" {
			t.Errorf("%s: page %q", name, req.Inventory.Page)
		}
		if !reflect.DeepEqual(raw.Signals, auction.Signals{Sections: raw.Signals.Sections}) {
			t.Errorf("%s: signals are left: %+v", name, raw.Signals)
		}
	}
	f("consent", false, gdpr(granted().String()), stays, detail, erased)
	f("none", false, gdpr(""), stays)
	f("none, with device detail", true, gdpr(""), stays, detail)
	f("a child", true, auction.Signals{GDPR: auction.No, COPPA: true}, stays)
	f("a child, and consent", true, auction.Signals{GDPR: auction.Yes, Consent: granted().String(), COPPA: true}, stays)

	refusing := rules()
	refusing.LMT = "no_bid"
	raw := full()
	raw.Signals.LimitAds = true
	if req, reason := privacytest.New(t, refusing).Apply(raw); req != nil || reason != auction.NoBidPrivacy {
		t.Errorf("got %v, %s", req, reason)
	}
	if raw.User.ID != "" || raw.Device.IP != "" {
		t.Error("a refused request keeps identifiers")
	}
}

// A raw request shows in no message, log or JSON.
func TestRawIsHidden(t *testing.T) {
	raw := full()
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("got", "request", raw)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("got", slog.Any("request", raw), slog.Group("g", "raw", raw))
	text, err := json.Marshal(map[string]any{"raw": raw})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{log.String(), string(text), fmt.Sprint(raw), fmt.Sprintf("%+v %#v %s %q %d", raw, raw, raw, raw, raw)} {
		if strings.Contains(shown, "value of") || strings.Contains(shown, "1001") {
			t.Errorf("shows %s", shown)
		}
	}
}
