package features

import (
	"sync"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"gavel/internal/auction"
	"gavel/internal/iso"
)

// LocalHourOfWeek returns the hour of the week in the user's local time when the request was received: 0 (Monday 00:00)
// to 167. The offset is the device's if the request has it, else that of the country's principal zone at that time. It
// returns false if neither is known or the request has no time.
func LocalHourOfWeek(req *auction.Request) (int, bool) {
	if req.Received.IsZero() {
		return 0, false
	}
	geo := &req.Device.Geo
	if geo.HasOffset {
		const widest = 18 * 60 // minutes; the widest in use are −12:00 and +14:00
		if geo.UTCOffset >= -widest && geo.UTCOffset <= widest {
			return hourOfWeek(req.Received.UTC().Add(time.Duration(geo.UTCOffset) * time.Minute)), true
		}
	}
	zone := CountryZone(geo.Country)
	if zone == nil {
		return 0, false
	}
	return hourOfWeek(req.Received.In(zone)), true
}

// hourOfWeek returns the hour of the week in t's own zone.
func hourOfWeek(t time.Time) int {
	monday := (int(t.Weekday()) + 6) % 7
	return monday*24 + t.Hour()
}

// CountryZone returns the principal zone of a country given as alpha-2 or alpha-3, or nil.
func CountryZone(country string) *time.Location {
	return zones()[iso.Alpha2(country)]
}

// zones loads the zone of every country, once. That takes milliseconds, so NewEncoder does it before the first auction.
var zones = sync.OnceValue(func() map[string]*time.Location {
	byCountry := make(map[string]*time.Location, 256)
	byName := make(map[string]*time.Location, 256)
	for i := 0; i+1 < len(zoneNames); i += 2 {
		name := zoneNames[i+1]
		if byName[name] == nil {
			location, err := time.LoadLocation(name)
			if err != nil {
				continue // the zone database is older than the program: a test loads every zone
			}
			byName[name] = location
		}
		byCountry[zoneNames[i]] = byName[name]
	}
	return byCountry
})
