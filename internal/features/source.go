package features

import (
	"strconv"
	"strings"

	"gavel/internal/auction"
)

// scope says what a value depends on, and so how often it is computed: once a request, an impression or
// a candidate.
type scope uint8

const (
	perRequest scope = iota
	perImpression
	perCandidate
)

func (s scope) String() string { return [...]string{"request", "impression", "candidate"}[s] }

// view is the input of a source.
type view struct {
	req  *auction.Request
	imp  *auction.Impression
	cand *auction.Candidate
	camp *auction.Campaign
	cre  *auction.Creative

	hour    int // of the week, in the user's local time
	hasHour bool
}

// source reads one field. Exactly one of text, number, compose and list is set. A value that the request does not have
// is missing, and so is 0 where OpenRTB uses it for unknown. A source may read only what a bid event carries.
type source struct {
	name  string
	scope scope
	doc   string

	text    func(v *view) string
	number  func(v *view) (int64, bool)
	compose func(v *view, buf []byte) []byte            // composes a text; empty: missing
	list    func(v *view, arg string, out []string) int // fills out, returns how many values it has
	arg     string                                      // for list: what follows the prefix in the name
}

// SourceInfo describes a source for people.
type SourceInfo struct {
	Name string // "user.segment.<data>" stands for any name of user data
	Kind string // "text", "number" or "list"
	Once string // read once a "request", "impression" or "candidate"
	Doc  string
}

// Sources lists what a feature's `source` can be.
func Sources() []SourceInfo {
	infos := make([]SourceInfo, 0, len(sources))
	for i := range sources {
		kind := "text"
		switch {
		case sources[i].number != nil:
			kind = "number"
		case sources[i].list != nil:
			kind = "list"
		}
		infos = append(infos, SourceInfo{sources[i].name, kind, sources[i].scope.String(), sources[i].doc})
	}
	return infos
}

const segmentPrefix = "user.segment."

func lookupSource(name string) (source, bool) {
	if data, ok := strings.CutPrefix(name, segmentPrefix); ok && data != "" && data != "<data>" {
		src := *sourceByName[segmentPrefix+"<data>"]
		src.name, src.arg = name, data
		return src, true
	}
	if src, ok := sourceByName[name]; ok && !strings.HasPrefix(name, segmentPrefix) {
		return *src, true
	}
	return source{}, false
}

var sourceByName = func() map[string]*source {
	m := make(map[string]*source, len(sources))
	for i := range sources {
		m[sources[i].name] = &sources[i]
	}
	return m
}()

func sourceNames() []string {
	names := make([]string, 0, len(sources))
	for i := range sources {
		names = append(names, sources[i].name)
	}
	return names
}

func known(n int) (int64, bool) { return int64(n), n != 0 }

func yesNo(b bool) (int64, bool) {
	if b {
		return 1, true
	}
	return 0, true
}

func appendSize(buf []byte, s auction.Size) []byte {
	if s.W <= 0 || s.H <= 0 {
		return buf
	}
	return strconv.AppendInt(append(strconv.AppendInt(buf, int64(s.W), 10), 'x'), int64(s.H), 10)
}

func fill(out, values []string) int { return copy(out, values) }

var sources = []source{
	{name: "request.exchange", doc: "which exchange sent it", text: func(v *view) string { return v.req.Exchange }},
	{name: "request.type", doc: "auction type: 1 first price, 2 second price", number: func(v *view) (int64, bool) { return known(v.req.Type) }},
	{name: "request.time", doc: "when it was received, Unix ms; for hour_of_week and hour_of_day", number: func(v *view) (int64, bool) {
		return v.req.Received.UnixMilli(), !v.req.Received.IsZero()
	}},
	{name: "request.hour_of_week", doc: "hour of the week in local time, 0 = Monday 00:00 … 167; by device.geo.utcoffset, else by the country's zone", number: func(v *view) (int64, bool) {
		return int64(v.hour), v.hasHour
	}},
	{name: "request.hour_of_day", doc: "hour of the day in local time, 0 … 23; as hour_of_week", number: func(v *view) (int64, bool) {
		return int64(v.hour % 24), v.hasHour
	}},

	{name: "impression.tag_id", scope: perImpression, doc: "tagid, the placement", text: func(v *view) string { return v.imp.TagID }},
	{name: "impression.formats", scope: perImpression, doc: "banner, video, audio, native: which of them fit", list: impressionFormats},
	{name: "impression.size", scope: perImpression, doc: `first banner size, else the video's, as "300x250"`, compose: impressionSize},
	{name: "impression.position", scope: perImpression, doc: "OpenRTB list 5.4, above the fold and so on; 0 is missing", number: func(v *view) (int64, bool) { return known(v.imp.Position) }},
	{name: "impression.floor", scope: perImpression, doc: "bidfloor in micros an impression, of its own currency", number: func(v *view) (int64, bool) { return int64(v.imp.Floor), true }},
	{name: "impression.floor_currency", scope: perImpression, doc: "ISO 4217", text: func(v *view) string { return v.imp.FloorCurrency }},
	{name: "impression.secure", scope: perImpression, doc: "0 or 1", number: func(v *view) (int64, bool) { return yesNo(v.imp.Secure) }},
	{name: "impression.interstitial", scope: perImpression, doc: "0 or 1", number: func(v *view) (int64, bool) { return yesNo(v.imp.Interstitial) }},
	{name: "impression.rewarded", scope: perImpression, doc: "0 or 1", number: func(v *view) (int64, bool) { return yesNo(v.imp.Rewarded) }},
	{name: "impression.video_placement", scope: perImpression, doc: "plcmt; 0 is missing", number: func(v *view) (int64, bool) {
		if v.imp.Video == nil {
			return 0, false
		}
		return known(v.imp.Video.Placement)
	}},

	{name: "inventory.kind", doc: "site, app or dooh", text: func(v *view) string { return string(v.req.Inventory.Kind) }},
	{name: "inventory.id", doc: "site.id, app.id or dooh.id", text: func(v *view) string { return v.req.Inventory.ID }},
	{name: "inventory.name", doc: "name", text: func(v *view) string { return v.req.Inventory.Name }},
	{name: "inventory.domain", doc: `lower case, without "www."`, text: func(v *view) string { return v.req.Inventory.Domain }},
	{name: "inventory.bundle", doc: "app store id", text: func(v *view) string { return v.req.Inventory.Bundle }},
	{name: "inventory.page", doc: "URL of the page", text: func(v *view) string { return v.req.Inventory.Page }},
	{name: "inventory.publisher", doc: "publisher.id", text: func(v *view) string { return v.req.Inventory.Publisher }},
	{name: "inventory.categories", doc: "IAB categories of site, section and page", list: func(v *view, _ string, out []string) int {
		return fill(out, v.req.Inventory.Categories)
	}},
	{name: "inventory.language", doc: "ISO 639-1, lower case", text: func(v *view) string { return v.req.Inventory.Language }},
	{name: "inventory.keywords", doc: "keywords", list: func(v *view, _ string, out []string) int {
		return fill(out, v.req.Inventory.Keywords)
	}},

	{name: "device.type", doc: "OpenRTB list 5.21; 0 is missing", number: func(v *view) (int64, bool) { return known(v.req.Device.Type) }},
	{name: "device.os", doc: "lower case", text: func(v *view) string { return v.req.Device.OS }},
	{name: "device.os_version", doc: "as sent; see os_major", text: func(v *view) string { return v.req.Device.OSVersion }},
	{name: "device.make", doc: "maker", text: func(v *view) string { return v.req.Device.Make }},
	{name: "device.model", doc: "model", text: func(v *view) string { return v.req.Device.Model }},
	{name: "device.user_agent", doc: "as sent", text: func(v *view) string { return v.req.Device.UserAgent }},
	{name: "device.language", doc: "ISO 639-1, lower case", text: func(v *view) string { return v.req.Device.Language }},
	{name: "device.carrier", doc: "carrier or provider", text: func(v *view) string { return v.req.Device.Carrier }},
	{name: "device.connection", doc: "OpenRTB list 5.22; 0 is missing", number: func(v *view) (int64, bool) { return known(v.req.Device.Connection) }},
	{name: "device.size", doc: `screen, as "390x844"`, compose: func(v *view, buf []byte) []byte {
		return appendSize(buf, auction.Size{W: v.req.Device.W, H: v.req.Device.H})
	}},
	{name: "device.limit_ads", doc: "lmt or dnt, 0 or 1", number: func(v *view) (int64, bool) { return yesNo(v.req.Device.LimitAds) }},
	{name: "device.geo.country", doc: "ISO 3166-1 alpha-2", text: func(v *view) string { return v.req.Device.Geo.Country }},
	{name: "device.geo.region", doc: "region", text: func(v *view) string { return v.req.Device.Geo.Region }},
	{name: "device.geo.city", doc: "city", text: func(v *view) string { return v.req.Device.Geo.City }},
	{name: "device.geo.zip", doc: "postal code", text: func(v *view) string { return v.req.Device.Geo.Zip }},
	{name: "device.geo.metro", doc: "metro code", text: func(v *view) string { return v.req.Device.Geo.Metro }},
	{name: "device.geo.utcoffset", doc: "minutes east of UTC", number: func(v *view) (int64, bool) {
		return int64(v.req.Device.Geo.UTCOffset), v.req.Device.Geo.HasOffset
	}},

	{name: "user.id", doc: "the exchange's id", text: func(v *view) string { return v.req.User.ID }},
	{name: "user.buyer_uid", doc: "the bidder's id of the user", text: func(v *view) string { return v.req.User.BuyerUID }},
	{name: "user.year_of_birth", doc: "yob; 0 is missing", number: func(v *view) (int64, bool) { return known(v.req.User.YearOfBirth) }},
	{name: "user.gender", doc: "as sent", text: func(v *view) string { return v.req.User.Gender }},
	{name: "user.keywords", doc: "keywords", list: func(v *view, _ string, out []string) int {
		return fill(out, v.req.User.Keywords)
	}},
	{name: segmentPrefix + "<data>", doc: "segments of the user.data of that name", list: userSegments},

	{name: "privacy.gdpr", doc: "0 or 1", number: func(v *view) (int64, bool) { return yesNo(v.req.Privacy.GDPR) }},
	{name: "privacy.coppa", doc: "0 or 1", number: func(v *view) (int64, bool) { return yesNo(v.req.Privacy.COPPA) }},

	{name: "campaign.id", scope: perCandidate, doc: "campaign", text: func(v *view) string { return v.camp.ID }},
	{name: "campaign.advertiser", scope: perCandidate, doc: "advertiser", text: func(v *view) string { return v.camp.Advertiser }},
	{name: "campaign.domain", scope: perCandidate, doc: "adomain", text: func(v *view) string { return v.camp.Domain }},
	{name: "campaign.categories", scope: perCandidate, doc: "IAB categories of what is advertised", list: func(v *view, _ string, out []string) int {
		return fill(out, v.camp.Categories)
	}},
	{name: "campaign.seat", scope: perCandidate, doc: "seat", text: func(v *view) string { return v.camp.Seat }},
	{name: "campaign.goal", scope: perCandidate, doc: "cpm, cpc or cpa", text: func(v *view) string { return string(v.camp.Goal.Kind) }},

	{name: "creative.id", scope: perCandidate, doc: "creative", text: func(v *view) string { return v.cre.ID }},
	{name: "creative.kind", scope: perCandidate, doc: "banner, video, audio or native", text: func(v *view) string { return string(v.cre.Kind) }},
	{name: "creative.size", scope: perCandidate, doc: `as "300x250"`, compose: func(v *view, buf []byte) []byte { return appendSize(buf, v.cre.Size) }},
	{name: "creative.duration", scope: perCandidate, doc: "seconds; 0 is missing", number: func(v *view) (int64, bool) { return known(v.cre.Duration) }},
	{name: "creative.mime", scope: perCandidate, doc: "MIME type", text: func(v *view) string { return v.cre.MIME }},
	{name: "creative.attributes", scope: perCandidate, doc: "OpenRTB list 5.3", list: creativeAttributes},

	{name: "candidate.floor", scope: perCandidate, doc: "lowest price that can win, in micros of the campaigns' currency", number: func(v *view) (int64, bool) {
		return int64(v.cand.Floor), true
	}},
	{name: "deal.id", scope: perCandidate, doc: "id of the deal of the bid; missing in the open auction", text: func(v *view) string {
		if v.cand.Deal == nil {
			return ""
		}
		return v.cand.Deal.ID
	}},
	{name: "deal.type", scope: perCandidate, doc: "0 as in the auction, 1 first price, 2 second price, 3 fixed price", number: func(v *view) (int64, bool) {
		if v.cand.Deal == nil {
			return 0, false
		}
		return int64(v.cand.Deal.Type), true
	}},
}

func impressionFormats(v *view, _ string, out []string) int {
	n := 0
	for _, f := range [...]struct {
		name string
		has  bool
	}{{"banner", v.imp.Banner != nil}, {"video", v.imp.Video != nil}, {"audio", v.imp.Audio != nil}, {"native", v.imp.Native != nil}} {
		if f.has && n < len(out) {
			out[n] = f.name
			n++
		}
	}
	return n
}

func impressionSize(v *view, buf []byte) []byte {
	switch {
	case v.imp.Banner != nil && len(v.imp.Banner.Sizes) > 0:
		return appendSize(buf, v.imp.Banner.Sizes[0])
	case v.imp.Video != nil:
		return appendSize(buf, v.imp.Video.Size)
	default:
		return buf
	}
}

func userSegments(v *view, data string, out []string) int {
	n := 0
	for i := range v.req.User.Segments {
		if s := &v.req.User.Segments[i]; s.Data == data && n < len(out) {
			out[n] = s.Value
			n++
		}
	}
	return n
}

func creativeAttributes(v *view, _ string, out []string) int {
	n := min(len(out), len(v.cre.Attributes))
	for i := range n {
		out[i] = strconv.Itoa(v.cre.Attributes[i]) // the values of list 5.3 are below 100, for which Itoa does not allocate
	}
	return n
}
