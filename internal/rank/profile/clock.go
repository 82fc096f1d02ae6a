package profile

import (
	"strings"
	"sync"
	"time"

	"gavel/internal/features"
)

// Hours and Weekdays are the values of hour and weekday, beside Other and the empty text.
var (
	Hours = []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18",
		"19", "20", "21", "22", "23"}
	Weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
)

// readClock returns the hour and weekday of the user: as the request says, else from the time of the click in the
// request's zone. Without a zone it is the country's principal zone; without a country, UTC. A malformed zone makes both
// Other, since another zone's hour would be wrong.
func readClock(s *Source, country string) (hour, weekday string) {
	hour, weekday = s.Hour, s.Weekday
	if len(hour) == 2 && hour[0] == '0' { // "07"
		hour = hour[1:]
	}
	hour, weekday = named(hour, Hours, ""), named(weekday, Weekdays, "")
	if hour != "" && weekday != "" {
		return hour, weekday
	}
	h, d := Other, Other
	if local, ok := localTime(s, country); ok {
		h, d = Hours[local.Hour()], Weekdays[(int(local.Weekday())+6)%7]
	}
	if hour == "" {
		hour = h
	}
	if weekday == "" {
		weekday = d
	}
	return hour, weekday
}

func localTime(s *Source, country string) (local time.Time, ok bool) {
	if s.Time.IsZero() {
		return local, false
	}
	if s.Zone == "" {
		if zone := features.CountryZone(country); zone != nil {
			return s.Time.In(zone), true
		}
		return s.Time.UTC(), true
	}
	if offset, ok := readOffset(s.Zone); ok {
		return s.Time.UTC().Add(offset), true
	}
	if zone := zone(s.Zone); zone != nil {
		return s.Time.In(zone), true
	}
	return local, false
}

// readOffset reads "+2", "+02", "+0200", "-03:30", "UTC", "GMT+1" or "Z"; at most 14 hours.
func readOffset(text string) (time.Duration, bool) {
	if len(text) >= 3 && (equal(text[:3], "utc") || equal(text[:3], "gmt")) {
		text = text[3:]
		if text == "" {
			return 0, true
		}
	} else if equal(text, "z") {
		return 0, true
	}
	if len(text) < 2 || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	hours, minutes, colon := strings.Cut(text[1:], ":")
	if !colon && len(hours) == 4 {
		hours, minutes = hours[:2], hours[2:]
	} else if colon && len(minutes) != 2 {
		return 0, false
	}
	h, ok1 := small(hours)
	m, ok2 := small(minutes)
	offset := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if hours == "" || !ok1 || !ok2 || m > 59 || offset > 14*time.Hour {
		return 0, false
	}
	if text[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// small reads a number of at most two digits; none is 0.
func small(s string) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(s) <= 2
}

// zones are the time zones that requests have named: at most those of the time zone database, some 600.
var zones sync.Map // of *time.Location by name

// zone returns the time zone of a name such as "Europe/Berlin", or nil.
func zone(name string) *time.Location {
	if known, ok := zones.Load(name); ok {
		return known.(*time.Location)
	}
	if len(name) > 40 || name == "Local" || !zoneName(name) {
		return nil
	}
	name = strings.Clone(name) // it is kept
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	known, _ := zones.LoadOrStore(name, location)
	return known.(*time.Location)
}

// zoneName reports whether the database could have such a name, so that nothing else is looked up in files.
func zoneName(name string) bool {
	for i, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9') && c != '/' && c != '_' && c != '-' && c != '+') {
			return false
		}
	}
	return name != ""
}
