package features

import (
	"sync"
	"time"
	_ "time/tzdata" // zones on any machine, the same ones everywhere

	"gavel/internal/auction"
	"gavel/internal/iso"
)

// LocalHourOfWeek is the hour of the week at which the user sees the request: 0 = Monday 00:00 … 167. The offset is
// the device's where it was sent, else that of the country's principal zone at that moment; false if neither is known
// or the request has no time.
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
	zone := countryZone(geo.Country)
	if zone == nil {
		return 0, false
	}
	return hourOfWeek(req.Received.In(zone)), true
}

// hourOfWeek is by the clock that t shows.
func hourOfWeek(t time.Time) int {
	monday := (int(t.Weekday()) + 6) % 7
	return monday*24 + t.Hour()
}

// countryZone is the principal zone of a country given as alpha-2 or alpha-3, nil if there is none.
func countryZone(country string) *time.Location {
	return zones()[iso.Alpha2(country)]
}

// zones loads the zone of every country once, in some milliseconds: NewEncoder calls it, so no auction pays for it.
var zones = sync.OnceValue(func() map[string]*time.Location {
	byCountry := make(map[string]*time.Location, 256)
	byName := make(map[string]*time.Location, 256)
	for i := 0; i+1 < len(zoneNames); i += 2 {
		name := zoneNames[i+1]
		if byName[name] == nil {
			location, err := time.LoadLocation(name)
			if err != nil {
				continue // a test loads every one, so this is a zone database older than the program
			}
			byName[name] = location
		}
		byCountry[zoneNames[i]] = byName[name]
	}
	return byCountry
})
