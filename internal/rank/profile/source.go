package profile

import (
	"strconv"
	"time"
)

// MaxText bounds a text of a Source, in bytes. Longer user agents and languages are read up to there; any other longer text
// is Other.
const MaxText = 1024

// A Source is what a request says of the user. An empty text says nothing. The texts may point into the request's memory.
type Source struct {
	UserAgent string
	Device    string // device, system and browser take precedence over UserAgent
	System    string
	Browser   string
	Provider  string
	Country   string // alpha-2 or alpha-3, any case
	Language  string // as Accept-Language: languages with their qualities
	Zone      string // as "Europe/Berlin", "+02:00" or "UTC"; empty: the country's principal zone, else UTC
	Hour      string // hour and weekday take precedence over Time and Zone
	Weekday   string
	Time      time.Time // of the click
	Extra     []string  // of the configured fields, in the order of Reader.Extra
}

// Reset empties the source for a click at now.
func (s *Source) Reset(extra int, now time.Time) {
	texts := s.Extra[:0]
	for range extra {
		texts = append(texts, "")
	}
	*s = Source{Time: now, Extra: texts}
}

// Set sets the text of a name. It returns the name's place among all that the reader knows, at most MaxNames, or false if the
// reader's profiles have no such name.
func (r *Reader) Set(s *Source, name, text string) (place int, ok bool) {
	switch name {
	case UserAgent:
		s.UserAgent, place = text, 0
	case Device:
		s.Device, place = text, 1
	case System:
		s.System, place = text, 2
	case Browser:
		s.Browser, place = text, 3
	case Provider:
		s.Provider, place = text, 4
	case Country:
		s.Country, place = text, 5
	case Language:
		s.Language, place = text, 6
	case Zone:
		s.Zone, place = text, 7
	case Hour:
		s.Hour, place = text, 8
	case Weekday:
		s.Weekday, place = text, 9
	case Time:
		place = 10
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 && ms <= maxTime {
			s.Time = time.UnixMilli(ms)
		} else if text != "" {
			s.Time = time.Time{} // malformed: hour and weekday are Other
		}
	default:
		for i := range r.extra {
			if r.extra[i].name == name {
				s.Extra[i] = text
				return 11 + i, true
			}
		}
		return 0, false
	}
	return place, true
}

// MaxNames is more than the places of all names that a reader can know.
const MaxNames = 64

// maxTime is the end of the year 9999, in Unix milliseconds.
const maxTime = 253_402_300_799_999
