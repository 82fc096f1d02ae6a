package features

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"gavel/internal/iso"
)

// transform changes a value before it is encoded. text may use *buf for its result, which is then valid until the next
// call. It returns false if the transform does not accept the text. number is nil if the transform accepts only text.
type transform struct {
	name       string
	doc        string
	text       func(s string, buf *[]byte) (string, bool)
	number     func(n int64) (int64, bool) // false: zeroText
	idempotent bool                        // it does not change its own result
	local      string                      // the source that replaces it if the feature's source is request.time
}

// zeroText is log_bucket's text for a number that is not above 0.
const zeroText = "zero"

// TransformInfo describes a transform for people.
type TransformInfo struct{ Name, Doc string }

// Transforms lists what a feature's `transform` can be.
func Transforms() []TransformInfo {
	infos := make([]TransformInfo, 0, len(transforms)+1)
	for i := range transforms {
		infos = append(infos, TransformInfo{transforms[i].name, transforms[i].doc})
	}
	return append(infos, TransformInfo{CrossTransform,
		"every combination of the values of the features in `of`, at most `slots`; missing if one of them is missing"})
}

var transforms = []transform{
	{name: "hour_of_week", local: "request.hour_of_week", doc: "request.time to 0 (Monday 00:00) … 167 in the user's local time; in raw files Unix ms (UTC) or RFC 3339 (its own offset)",
		text: func(s string, buf *[]byte) (string, bool) { return hourText(s, buf, 168) }},
	{name: "hour_of_day", local: "request.hour_of_day", doc: "request.time to 0 … 23 in the user's local time; in raw files as hour_of_week",
		text: func(s string, buf *[]byte) (string, bool) { return hourText(s, buf, 24) }},
	{name: "country_alpha2", idempotent: true, doc: "ISO 3166-1 alpha-2 or alpha-3, any case, to alpha-2; missing if it is not a country",
		text: func(s string, _ *[]byte) (string, bool) { return iso.Alpha2(s), true }},
	{name: "log_bucket", doc: `number to floor(2 log2 x): two buckets for every doubling; "zero" if it is not above 0`,
		text: logBucketText, number: func(n int64) (int64, bool) { return logBucket(float64(n)) }},
	{name: "lower", idempotent: true, doc: "lower case, without leading and trailing white space", text: lowerText},
	{name: "domain", idempotent: true, doc: "URL or host to its registrable domain: news.example.co.uk to example.co.uk", text: domainText},
	{name: "os_major", idempotent: true, doc: "version to its first number: 14.4.1 to 14", text: osMajorText},
}

func lookupTransform(name string) *transform {
	for i := range transforms {
		if transforms[i].name == name {
			return &transforms[i]
		}
	}
	return nil
}

func transformNames() []string {
	names := make([]string, 0, len(transforms))
	for i := range transforms {
		names = append(names, transforms[i].name)
	}
	return names
}

// text returns b as a string without copying. It is valid until b is written to.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// logBucket returns floor(2 log2 x), exactly, on every machine. It returns false if x is not above 0.
func logBucket(x float64) (int64, bool) {
	if !(x > 0) || math.IsInf(x, 1) {
		return 0, false
	}
	fraction, exponent := math.Frexp(x) // x = fraction × 2^exponent, fraction in [0.5, 1)
	bucket := 2 * int64(exponent-1)
	if fraction >= math.Sqrt2/2 {
		bucket++
	}
	return bucket, true
}

func logBucketText(s string, buf *[]byte) (string, bool) {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return "", false
	}
	n, ok := logBucket(x)
	if !ok {
		return zeroText, true
	}
	*buf = strconv.AppendInt((*buf)[:0], n, 10)
	return text(*buf), true
}

func hourText(s string, buf *[]byte, period int) (string, bool) {
	var t time.Time
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		t = time.UnixMilli(ms).UTC()
	} else if t, err = time.Parse(time.RFC3339Nano, s); err != nil {
		return "", false
	}
	*buf = strconv.AppendInt((*buf)[:0], int64(hourOfWeek(t)%period), 10)
	return text(*buf), true
}

// lowerText allocates only for text that is not ASCII.
func lowerText(s string, buf *[]byte) (string, bool) {
	s = strings.TrimSpace(s)
	upper := false
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.TrimSpace(strings.ToLower(s)), true
		}
		upper = upper || 'A' <= s[i] && s[i] <= 'Z'
	}
	if !upper {
		return s, true
	}
	*buf = (*buf)[:0]
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		*buf = append(*buf, c)
	}
	return text(*buf), true
}

// domainText keeps the last two labels of a host, or three if the second-last is a common registry label, such as co in
// co.uk. It uses no public suffix list, so that the result never changes for a model.
func domainText(s string, buf *[]byte) (string, bool) {
	s = strings.TrimSpace(s)
	if i := strings.IndexFunc(s, unicode.IsSpace); i >= 0 {
		s = s[:i]
	}
	if i := strings.Index(s, "//"); i >= 0 {
		s = s[i+2:]
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if strings.HasPrefix(s, "[") { // an IPv6 address is its own domain
		if i := strings.IndexByte(s, ']'); i >= 0 {
			return lowerText(s[:i+1], buf)
		}
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		s = s[:i]
	}
	s, _ = lowerText(s, buf)
	s = strings.Trim(s, ".")
	last := strings.LastIndexByte(s, '.')
	if last < 0 || isDigits(s[last+1:]) { // a bare name, or an IPv4 address
		return s, true
	}
	second := strings.LastIndexByte(s[:last], '.')
	if second < 0 {
		return s, true
	}
	if len(s)-last-1 == 2 && isRegistry(s[second+1:last]) {
		second = strings.LastIndexByte(s[:second], '.')
	}
	return strings.TrimLeft(s[second+1:], "."), true // the label before it may be empty
}

func isRegistry(label string) bool {
	switch label {
	case "co", "com", "org", "net", "gov", "edu", "ac", "or", "ne", "go", "gob", "govt", "mil":
		return true
	}
	return false
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func osMajorText(s string, buf *[]byte) (string, bool) {
	start := strings.IndexFunc(s, func(r rune) bool { return '0' <= r && r <= '9' })
	if start < 0 { // a code name
		return lowerText(s, buf)
	}
	end := start
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	return s[start:end], true
}
