package notify

import "strings"

// marker says what the URL after it in a markup is for.
type marker struct {
	text string
	kind Kind // "": neither of both
}

// markers of HTML, VAST and native JSON. The nearest one before a URL decides.
var markers = []marker{
	{"href", Click}, {"src", Impression}, // HTML
	{"<Impression", Impression}, {"<ClickThrough", Click}, {"<ClickTracking", ""}, {"<Tracking", ""},
	{"<MediaFile", ""}, {"<Error", ""}, {"<VASTAdTagURI", Impression}, // VAST
	{`"imptrackers"`, Impression}, {`"eventtrackers"`, Impression}, {`"link"`, Click}, {`"clicktrackers"`, ""},
	{`"img"`, ""}, {`"fallback"`, ""}, {`"data"`, ""}, // native
}

const markerWithin = 200 // bytes before a URL that are searched for its marker

// Tracked finds in a markup (HTML, VAST or native JSON) the pixels that a browser loads when it shows the ad, and the
// first URL to which a click leads. It skips URLs to hosts that may not be called.
func Tracked(markup string, hosts Hosts) (pixels []string, click string) {
	for at := 0; ; {
		i := strings.Index(markup[at:], "http")
		if i < 0 {
			return pixels, click
		}
		begin := at + i
		end := begin + urlLen(markup[begin:])
		url := markup[begin:end]
		at = begin + max(end-begin, 4)
		if !strings.Contains(url, ":") {
			continue
		}
		url = strings.ReplaceAll(strings.ReplaceAll(url, `\/`, "/"), "&amp;", "&")
		if !hosts.Allow(url) {
			continue
		}
		switch kindOf(markup[max(0, begin-markerWithin):begin]) {
		case Impression:
			pixels = append(pixels, url)
		case Click:
			if click == "" {
				click = url
			}
		}
	}
}

// urlLen returns the length of the URL at the start of s. A backslash ends it, unless it escapes a slash as in JSON.
func urlLen(s string) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] == '/':
		case c <= ' ', c == '"', c == '\'', c == '<', c == '>', c == '\\', c == ']', c == ')', c == '}':
			return i
		}
	}
	return len(s)
}

// kindOf returns the kind of the last marker in before.
func kindOf(before string) Kind {
	for i := len(before) - 1; i >= 0; i-- {
		switch before[i] {
		case 'h', 's', '<', '"': // the first bytes of markers
			for _, m := range markers {
				if strings.HasPrefix(before[i:], m.text) {
					return m.kind
				}
			}
		}
	}
	return ""
}
