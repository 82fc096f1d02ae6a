package openrtb

import (
	"math"
	"slices"
	"strings"

	"gavel/internal/auction"
	"gavel/internal/iso"
)

// Bounds of a request. What exceeds them is left out.
const (
	MaxImpressions = 256
	maxDeals       = 64 // an impression
	maxSizes       = 64 // a banner
	maxValues      = 256
)

// normalise fills dst from w. dst is empty; w has an id, and so has each impression.
func normalise(w *wireRequest, dst *auction.Raw, o *DecodeOptions) {
	allowed := o.Timing.allowed(w.TMax)
	dst.ID = w.ID
	dst.Exchange = o.Exchange
	if dst.Exchange == "" {
		dst.Exchange = "default"
	}
	dst.Received = o.Received
	dst.Deadline = o.Received.Add(allowed - o.Timing.margin(allowed))
	dst.Test = w.Test == 1
	dst.Type = int(clamp(w.AT))
	if dst.Type == 0 {
		dst.Type = 2
	}
	for _, c := range w.Cur {
		if c != "" {
			dst.Currencies = append(dst.Currencies, strings.ToUpper(c))
		}
	}
	dst.BlockedCategories = append(dst.BlockedCategories, w.BCat...)
	dst.BlockedDomains = appendDomains(dst.BlockedDomains, w.BAdv)
	dst.BlockedApps = append(dst.BlockedApps, w.BApp...)
	dst.Seats = append(dst.Seats, w.WSeat...)
	dst.BlockedSeats = append(dst.BlockedSeats, w.BSeat...)

	for i := range w.Imp {
		if len(dst.Impressions) == MaxImpressions {
			break
		}
		if imp := &w.Imp[i]; !slices.ContainsFunc(dst.Impressions, func(a auction.Impression) bool { return a.ID == imp.ID }) {
			impression(imp, dst)
		}
	}
	inventory(w, &dst.Inventory)
	device(w, &dst.Device)
	user(&w.User, &dst.User)
	signals(w, &dst.Signals)
	dsa(w.Regs.Ext.DSA, &dst.Privacy.DSA)
}

// impression appends w to dst if it has a known format.
func impression(w *wireImp, dst *auction.Raw) {
	if w.Banner == nil && w.Video == nil && w.Audio == nil && w.Native == nil {
		return
	}
	imp := dst.AddImpression()
	imp.ID = w.ID
	imp.TagID = w.TagID
	imp.Secure = w.Secure == 1
	imp.Floor = readFloor(w.Floor, dst)
	imp.FloorCurrency = currency(w.FloorCur)
	if w.Qty != nil {
		imp.Quantity = quantity(w.Qty.Multiplier)
		if imp.Quantity == 0 {
			imp.Floor = noFloor
			dst.Unreadable++
		}
	}
	imp.Interstitial = w.Instl == 1
	imp.Rewarded = w.Rwdd == 1
	if b := w.Banner; b != nil {
		banner(b, imp.UseBanner())
		imp.Position = int(clamp(b.Pos))
	}
	if v := w.Video; v != nil {
		video(v, imp.UseVideo())
		if imp.Position == 0 {
			imp.Position = int(clamp(v.Pos))
		}
	}
	if a := w.Audio; a != nil {
		to := imp.UseAudio()
		to.MIMEs = append(to.MIMEs, a.MIMEs...)
		to.MinDuration, to.MaxDuration = int(clamp(a.MinDur)), int(clamp(a.MaxDur))
		to.Protocols = appendInts(to.Protocols, a.Protocols)
		to.BlockedAttributes = appendInts(to.BlockedAttributes, a.BAttr)
	}
	if n := w.Native; n != nil {
		to := imp.UseNative()
		to.Request, to.Version = string(n.Request), n.Ver
		to.BlockedAttributes = appendInts(to.BlockedAttributes, n.BAttr)
	}
	if w.PMP == nil {
		return
	}
	imp.PrivateAuction = w.PMP.Private == 1
	for i := range w.PMP.Deals {
		d := &w.PMP.Deals[i]
		if d.ID == "" || len(imp.Deals) == maxDeals {
			continue
		}
		deal := imp.AddDeal()
		deal.ID = d.ID
		deal.Floor = readFloor(d.Floor, dst)
		deal.FloorCurrency = currency(d.FloorCur)
		deal.Type = int(clamp(d.AT))
		deal.Seats = append(deal.Seats, d.WSeat...)
		deal.Advertisers = appendDomains(deal.Advertisers, d.WADomain)
	}
}

func banner(w *wireBanner, to *auction.Banner) {
	add := func(width, height int64) {
		size := auction.Size{W: int(clamp(width)), H: int(clamp(height))}
		if size.W > 0 && size.H > 0 && len(to.Sizes) < maxSizes && !slices.Contains(to.Sizes, size) {
			to.Sizes = append(to.Sizes, size)
		}
	}
	add(w.W, w.H)
	for _, f := range w.Format {
		add(f.W, f.H)
	}
	to.BlockedTypes = appendInts(to.BlockedTypes, w.BType)
	to.BlockedAttributes = appendInts(to.BlockedAttributes, w.BAttr)
	to.MIMEs = append(to.MIMEs, w.MIMEs...)
}

func video(w *wireVideo, to *auction.Video) {
	if w.W > 0 && w.H > 0 {
		to.Size = auction.Size{W: int(clamp(w.W)), H: int(clamp(w.H))}
	}
	to.MIMEs = append(to.MIMEs, w.MIMEs...)
	to.MinDuration, to.MaxDuration = int(clamp(w.MinDur)), int(clamp(w.MaxDur))
	to.Protocols = appendInts(to.Protocols, w.Protocols)
	if p := int(clamp(w.Protocol)); p > 0 && !slices.Contains(to.Protocols, p) { // OpenRTB 2.0 to 2.2
		to.Protocols = append(to.Protocols, p)
	}
	to.BlockedAttributes = appendInts(to.BlockedAttributes, w.BAttr)
	to.Placement = int(clamp(w.Plcmt))
	if to.Placement == 0 {
		to.Placement = int(clamp(w.Placement))
	}
}

func inventory(w *wireRequest, to *auction.Inventory) {
	var from *wireSite
	switch {
	case w.Site != nil:
		from, to.Kind = w.Site, auction.Site
	case w.App != nil:
		from, to.Kind = w.App, auction.App
	case w.DOOH != nil:
		from, to.Kind = w.DOOH, auction.DOOH
	default:
		return
	}
	to.ID, to.Name, to.Bundle, to.Page = from.ID, from.Name, from.Bundle, from.Page
	to.Publisher = from.Publisher.ID
	if to.Domain = domain(from.Domain); to.Domain == "" && to.Kind == auction.Site {
		to.Domain = domain(from.Page)
	}
	for _, list := range [...][]string{from.Cat, from.SectionCat, from.PageCat} {
		for _, c := range list {
			if c != "" && len(to.Categories) < maxValues && !slices.Contains(to.Categories, c) {
				to.Categories = append(to.Categories, c)
			}
		}
	}
	to.Language = language(from.Content.Language, from.Content.LangB)
	to.Keywords = appendKeywords(to.Keywords, from.Keywords, from.KwArray)
}

func device(w *wireRequest, to *auction.Device) {
	d := &w.Dev
	*to = auction.Device{
		UserAgent: d.UA, IP: either(d.IP, d.IPv6), Type: int(clamp(d.Type)),
		OS: strings.ToLower(d.OS), OSVersion: d.OSV, Make: d.Make, Model: d.Model,
		Language: language(d.Language, d.LangB), Carrier: d.Carrier, Connection: int(clamp(d.Connection)),
		W: int(clamp(d.W)), H: int(clamp(d.H)), LimitAds: d.Lmt != 0 || d.DNT != 0,
	}
	from := &d.Geo
	if *from == (wireGeo{}) {
		from = &w.User.Geo
	}
	to.Geo = auction.Geo{
		Country: iso.Alpha2(strings.TrimSpace(from.Country)), Region: from.Region, City: from.City,
		Zip: from.ZIP, Metro: from.Metro,
	}
	if o := from.UTCOffset; o != nil && *o >= -12*60 && *o <= 14*60 {
		to.Geo.UTCOffset, to.Geo.HasOffset = int(*o), true
	}
}

func user(w *wireUser, to *auction.User) {
	to.ID, to.BuyerUID, to.Gender = w.ID, w.BuyerUID, w.Gender
	if w.YOB >= 1900 && w.YOB < 2100 {
		to.YearOfBirth = int(w.YOB)
	}
	to.Keywords = appendKeywords(to.Keywords, w.Keywords, w.KwArray)
	for i := range w.Data {
		data := &w.Data[i]
		for _, s := range data.Segment {
			if value := either(s.ID, s.Name, s.Value); value != "" && len(to.Segments) < maxValues {
				to.Segments = append(to.Segments, auction.Segment{Data: either(data.Name, data.ID), Value: value})
			}
		}
	}
}

// either returns the first value that is not empty.
func either(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// clamp limits a count, code or size to the range 0 to MaxInt32.
func clamp(n int64) int64 { return min(max(n, 0), math.MaxInt32) }

// noFloor is a floor that no bid can reach.
const noFloor = math.MaxInt64 / 4

// readFloor is floor for one that may be unreadable. That is not a floor of 0: no bid reaches it, and dst counts it.
func readFloor(cpm amount, dst *auction.Raw) auction.Micros {
	if math.IsNaN(float64(cpm)) {
		dst.Unreadable++
		return noFloor
	}
	return floor(float64(cpm))
}

// quantity is a multiplier in whole thousandths, or 0 if it is none: unreadable, 0 or less, or too large.
func quantity(multiplier amount) float64 {
	if q := float64(multiplier); q > 0 && q <= auction.MostQuantity {
		return max(math.Round(q*1000)/1000, 0.001)
	}
	return 0
}

// floor converts a CPM price to micros, rounded up, because a bid must not be below the floor. A price too large for
// micros becomes one that no bid can reach; a negative price becomes 0.
func floor(cpm float64) auction.Micros {
	m, ok := auction.MicrosFromCPM(cpm)
	switch {
	case !ok && cpm > 0:
		return noFloor
	case !ok || m < 0:
		return 0
	case m.CPM() < cpm:
		return m + 1
	}
	return m
}

func currency(code currencyCode) string {
	if code == "" {
		return "USD"
	}
	return strings.ToUpper(string(code))
}

// domain returns the host of a domain, host or URL, in lower case, without "www.", scheme, user, port and path.
func domain(s string) string {
	if i := strings.Index(s, "://"); i >= 0 {
		s = s[i+3:]
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		s = s[:i]
	}
	return strings.TrimPrefix(strings.Trim(strings.ToLower(s), " ."), "www.")
}

// language returns the ISO 639-1 code of the first tag that has one: "en" for "en", "EN", "en-US" or "en_US". Else "".
func language(tags ...string) string {
	for _, tag := range tags {
		if len(tag) == 2 || len(tag) > 2 && (tag[2] == '-' || tag[2] == '_') {
			if a, b := tag[0]|0x20, tag[1]|0x20; a >= 'a' && a <= 'z' && b >= 'a' && b <= 'z' {
				return strings.ToLower(tag[:2])
			}
		}
	}
	return ""
}

func appendInts(dst []int, values []int64) []int {
	for _, v := range values {
		dst = append(dst, int(clamp(v)))
	}
	return dst
}

func appendDomains(dst, values []string) []string {
	for _, v := range values {
		if d := domain(v); d != "" {
			dst = append(dst, d)
		}
	}
	return dst
}

// appendKeywords appends the words of a comma-separated list and of an array.
func appendKeywords(dst []string, list string, array []string) []string {
	for list != "" && len(dst) < maxValues {
		var word string
		word, list, _ = strings.Cut(list, ",")
		if word = strings.TrimSpace(word); word != "" {
			dst = append(dst, word)
		}
	}
	for _, word := range array {
		if word = strings.TrimSpace(word); word != "" && len(dst) < maxValues {
			dst = append(dst, word)
		}
	}
	return dst
}
