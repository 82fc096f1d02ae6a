package features

import (
	"testing"
	"time"

	"gavel/internal/auction"
)

func TestLocalHourOfWeek(t *testing.T) {
	f := func(name, at string, geo auction.Geo, want int, wantOK bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var req auction.Request
			if at != "" {
				var err error
				if req.Received, err = time.Parse(time.RFC3339, at); err != nil {
					t.Fatal(err)
				}
			}
			req.Device.Geo = geo
			if got, ok := LocalHourOfWeek(&req); got != want || ok != wantOK {
				t.Errorf("got %d, %v; want %d, %v", got, ok, want, wantOK)
			}
		})
	}
	f("Monday midnight in UTC", "2024-03-04T00:00:00Z", auction.Geo{HasOffset: true}, 0, true)
	f("an hour before, it is still Sunday", "2024-03-03T23:59:59Z", auction.Geo{HasOffset: true}, 167, true)
	f("the offset wins over the country", "2024-03-04T00:00:00Z", auction.Geo{Country: "US", UTCOffset: 330, HasOffset: true}, 5, true)
	f("west of Greenwich it is the day before", "2024-03-04T01:00:00Z", auction.Geo{UTCOffset: -120, HasOffset: true}, 167, true)
	f("the country's zone", "2024-03-05T22:30:00Z", auction.Geo{Country: "US"}, 24+17, true)
	f("the same in summer", "2024-07-02T22:30:00Z", auction.Geo{Country: "US"}, 24+18, true)
	f("alpha-3", "2024-03-05T22:30:00Z", auction.Geo{Country: "JPN"}, 48+7, true)
	f("half an hour", "2024-03-04T00:30:00Z", auction.Geo{Country: "IN"}, 6, true)
	f("the clock received it in another zone", "2024-03-04T02:00:00+02:00", auction.Geo{HasOffset: true}, 0, true)
	f("an impossible offset is not believed", "2024-03-05T22:30:00Z", auction.Geo{Country: "JP", UTCOffset: 9000, HasOffset: true}, 48+7, true)
	f("an unknown country", "2024-03-05T22:30:00Z", auction.Geo{Country: "XX"}, 0, false)
	f("nothing known", "2024-03-05T22:30:00Z", auction.Geo{}, 0, false)
	f("no time", "", auction.Geo{HasOffset: true}, 0, false)
}

func TestEveryZoneLoads(t *testing.T) {
	if len(zoneNames) != 2*len(zones()) {
		t.Errorf("%d of %d countries have a zone", len(zones()), len(zoneNames)/2)
	}
	for i := 0; i < len(zoneNames); i += 2 {
		if CountryZone(zoneNames[i]) == nil {
			t.Errorf("%s: zone %s does not load, or %s is no country", zoneNames[i], zoneNames[i+1], zoneNames[i])
		}
	}
}

func BenchmarkLocalHourOfWeek(b *testing.B) {
	for name, geo := range map[string]auction.Geo{"by=offset": {UTCOffset: 60, HasOffset: true}, "by=country": {Country: "US"}} {
		b.Run(name, func(b *testing.B) {
			req := &auction.Request{Received: time.Date(2024, 3, 5, 22, 30, 0, 0, time.UTC)}
			req.Device.Geo = geo
			b.ReportAllocs()
			for b.Loop() {
				LocalHourOfWeek(req)
			}
		})
	}
}
