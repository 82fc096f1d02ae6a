// Package privacytest writes consent strings, as consent management platforms do, and makes laws, for the tests of other
// packages.
package privacytest

import (
	"slices"
	"strings"
	"testing"

	"gavel/internal/auction"
	"gavel/internal/privacy"
)

// Lenient returns a law that changes nothing, unless a request says that the GDPR applies, or is directed at a child.
func Lenient(t testing.TB) *privacy.Law {
	t.Helper()
	rules := privacy.Defaults()
	rules.GDPR.Unknown = privacy.UnknownNo
	rules.OptOut, rules.GPC, rules.LMT, rules.DNT = privacy.Ignore, privacy.Ignore, privacy.Ignore, privacy.Ignore
	return New(t, rules)
}

// New returns the law of rules, without metrics.
func New(t testing.TB, rules privacy.Rules) *privacy.Law {
	t.Helper()
	law, err := privacy.New(rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	return law
}

// Request returns what a lenient law makes of raw.
func Request(t testing.TB, raw *auction.Raw) *auction.Request {
	t.Helper()
	req, reason := Lenient(t).Apply(raw)
	if reason != auction.NoBidNone {
		t.Fatal(reason)
	}
	return req
}

// Writer writes bits as base64url.
type Writer struct{ bits []byte }

// Int writes n bits.
func (w *Writer) Int(value, n int) *Writer {
	for i := n - 1; i >= 0; i-- {
		w.bits = append(w.bits, byte(value>>i&1))
	}
	return w
}

// Mask writes n flags, those of the numbers in set from 1 on.
func (w *Writer) Mask(set []int, n int) *Writer {
	for i := 1; i <= n; i++ {
		bit := 0
		if slices.Contains(set, i) {
			bit = 1
		}
		w.Int(bit, 1)
	}
	return w
}

// Fibonacci writes a number in Fibonacci code.
func (w *Writer) Fibonacci(value int) *Writer {
	numbers := []int{1, 2}
	for numbers[len(numbers)-1] <= value {
		numbers = append(numbers, numbers[len(numbers)-1]+numbers[len(numbers)-2])
	}
	var code []byte
	for i := len(numbers) - 1; i >= 0; i-- {
		if numbers[i] <= value {
			value -= numbers[i]
			code = append(code, 1)
		} else if len(code) > 0 {
			code = append(code, 0)
		}
	}
	slices.Reverse(code)
	w.bits = append(append(w.bits, code...), 1)
	return w
}

// Vendors writes a list of vendors, with its highest id, as bits or as ranges.
func (w *Writer) Vendors(vendors []int, ranges bool) *Writer {
	most := 0
	for _, v := range vendors {
		most = max(most, v)
	}
	w.Int(most, 16)
	if !ranges {
		return w.Int(0, 1).Mask(vendors, most)
	}
	return w.Int(1, 1).Ranges(vendors)
}

// Ranges writes entries of vendors, neighbours as one entry.
func (w *Writer) Ranges(vendors []int) *Writer {
	var spans [][2]int
	for _, v := range slices.Sorted(slices.Values(vendors)) {
		if n := len(spans); n > 0 && spans[n-1][1] == v-1 {
			spans[n-1][1] = v
			continue
		}
		spans = append(spans, [2]int{v, v})
	}
	w.Int(len(spans), 12)
	for _, s := range spans {
		if s[0] == s[1] {
			w.Int(0, 1).Int(s[0], 16)
		} else {
			w.Int(1, 1).Int(s[0], 16).Int(s[1], 16)
		}
	}
	return w
}

// String returns what was written. The last character is filled with zeros.
func (w *Writer) String() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var out strings.Builder
	for i := 0; i < len(w.bits); i += 6 {
		v := 0
		for j := i; j < i+6; j++ {
			v <<= 1
			if j < len(w.bits) {
				v |= int(w.bits[j])
			}
		}
		out.WriteByte(alphabet[v])
	}
	return out.String()
}

// TC is a TC string. The zero value consents to nothing.
type TC struct {
	Version      int // 0 means 2
	Policy       int // of the framework; 0 means 4, which is TCF 2.2
	Consents     []int
	Interests    []int
	Features     []int
	Vendors      []int // that the user consents to
	Interested   []int // whose legitimate interest was shown
	Ranged       bool  // lists of vendors as ranges
	Restrictions []Restriction
	Disclosed    []int // nil: no such segment
}

// Restriction is one of a publisher's. Kind is 0 forbidden, 1 consent alone, 2 legitimate interest alone.
type Restriction struct {
	Purpose, Kind int
	Vendors       []int
}

func (c TC) String() string {
	version, policy := c.Version, c.Policy
	if version == 0 {
		version = 2
	}
	if policy == 0 {
		policy = 4
	}
	var w Writer
	w.Int(version, 6).Int(17356000000, 36).Int(17356000000, 36).Int(300, 12).Int(2, 12).Int(1, 6).
		Int('E'-'A', 6).Int('N'-'A', 6).Int(120, 12).Int(policy, 6).Int(1, 1).Int(0, 1)
	w.Mask(c.Features, 12).Mask(c.Consents, 24).Mask(c.Interests, 24).Int(0, 1).Int('D'-'A', 6).Int('E'-'A', 6)
	w.Vendors(c.Vendors, c.Ranged).Vendors(c.Interested, c.Ranged)
	w.Int(len(c.Restrictions), 12)
	for _, r := range c.Restrictions {
		w.Int(r.Purpose, 6).Int(r.Kind, 2).Ranges(r.Vendors)
	}
	out := w.String()
	if c.Disclosed != nil {
		var s Writer
		out += "." + s.Int(1, 3).Vendors(c.Disclosed, c.Ranged).String()
	}
	return out
}

// Section is one of a GPP string.
type Section struct {
	ID   int
	Text string
}

// GPP returns the string of sections, which ascend by id.
func GPP(sections ...Section) string {
	var w Writer
	w.Int(3, 6).Int(1, 6).Int(len(sections), 12)
	last, body := 0, ""
	for _, s := range sections {
		w.Int(0, 1).Fibonacci(s.ID - last)
		last = s.ID
		body += "~" + s.Text
	}
	return w.String() + body
}

// US returns a core of a section of the United States: its version and fields of two bits. fields is how many there are, set
// has those that are not 0, by number.
func US(version, fields int, set map[int]int) string {
	var w Writer
	w.Int(version, 6)
	for i := range fields {
		w.Int(set[i], 2)
	}
	return w.String()
}

// GPC returns the segment with Global Privacy Control.
func GPC(on bool) string {
	var w Writer
	w.Int(1, 2)
	if on {
		return w.Int(1, 1).String()
	}
	return w.Int(0, 1).String()
}
