package profile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gavel/internal/iso"
	"gavel/internal/rank/score"
)

// Bounds of the configuration.
const (
	MaxExtra  = 32   // configured fields
	MaxValues = 1024 // values of one
	MaxValue  = 64   // bytes of a value
)

// A Reader makes profiles. Safe for concurrent use.
type Reader struct {
	extra []field
}

// field is a configured field.
type field struct {
	name   string
	values map[string]string // nil: any short text
}

// NewReader returns a reader of profiles with more fields: their values by name, or no values for a field that has any
// short text. The error joins every fault.
func NewReader(fields map[string][]string) (*Reader, error) {
	var faults []error
	fault := func(name, format string, args ...any) {
		faults = append(faults, fmt.Errorf("profile.fields.%s: %s", name, fmt.Sprintf(format, args...)))
	}
	if len(fields) > MaxExtra {
		faults = append(faults, fmt.Errorf("profile.fields: has %d fields; use at most %d", len(fields), MaxExtra))
	}
	r := &Reader{}
	for name, values := range fields {
		if !fieldName(name) {
			fault(name, "must be 1 to 32 of a–z, 0–9 and _, and begin with a letter")
		}
		if slices.Contains(Names, name) || name == UserAgent || name == Zone || name == Time {
			fault(name, "is a name that every profile has; choose another")
		}
		if len(values) > MaxValues {
			fault(name, "has %d values; use at most %d, or none for any text", len(values), MaxValues)
		}
		f := field{name: name}
		for _, v := range values {
			if v == "" || v == Other || !plain(v) {
				fault(name, "value %q must be 1 to %d bytes of text without control characters, and not %q", v, MaxValue, Other)
			}
			if f.values == nil {
				f.values = make(map[string]string, len(values))
			}
			f.values[v] = v
		}
		r.extra = append(r.extra, f)
	}
	slices.SortFunc(r.extra, func(a, b field) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	agentParser() // takes milliseconds: before the first click
	return r, nil
}

// fieldName reports whether a field may have the name.
func fieldName(s string) bool {
	for i, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 32
}

// Extra returns how many fields the configuration added.
func (r *Reader) Extra() int { return len(r.extra) }

// Fields returns the names of a profile's fields, in its order.
func (r *Reader) Fields() []string {
	names := slices.Clone(Names)
	for _, f := range r.extra {
		names = append(names, f.name)
	}
	return names
}

// Read makes the profile of a source in dst's memory. Open texts point into the source's memory, or into lower's, which
// has room for at least MaxValue bytes. It allocates nothing if dst has room for all fields.
func (r *Reader) Read(dst score.Profile, s *Source, lower *[MaxValue]byte) score.Profile {
	device, system, browser := s.Device, s.System, s.Browser
	if device == "" || system == "" || browser == "" {
		d, y, b := readAgent(s.UserAgent)
		device, system, browser = named(device, Devices, d), named(system, Systems, y), named(browser, Browsers, b)
	} else {
		device, system, browser = named(device, Devices, ""), named(system, Systems, ""), named(browser, Browsers, "")
	}
	country := readCountry(s.Country)
	hour, weekday := readClock(s, country)
	dst = append(dst[:0],
		score.Field{Name: Device, Value: device},
		score.Field{Name: System, Value: system},
		score.Field{Name: Browser, Value: browser},
		score.Field{Name: Provider, Value: readProvider(s.Provider, lower)},
		score.Field{Name: Country, Value: country},
		score.Field{Name: Language, Value: readLanguage(s.Language)},
		score.Field{Name: Hour, Value: hour},
		score.Field{Name: Weekday, Value: weekday},
	)
	for i := range r.extra {
		dst = append(dst, score.Field{Name: r.extra[i].name, Value: r.extra[i].read(s.Extra[i])})
	}
	return dst
}

func readCountry(text string) string {
	if text == "" {
		return ""
	}
	if code := iso.Alpha2(text); code != "" {
		return code
	}
	return Other
}

func (f *field) read(text string) string {
	switch {
	case text == "":
		return ""
	case f.values == nil && plain(text):
		return text
	}
	if v, ok := f.values[text]; ok {
		return v
	}
	return Other
}
