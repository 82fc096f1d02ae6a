package auction

import (
	"slices"
	"strings"
)

// compiledCreative is a creative, with the properties that its markup shows.
type compiledCreative struct {
	*Creative
	insecure bool   // it names a plain http address
	types    uint32 // bit t is set if it is of OpenRTB banner type t (list 5.2)
}

// OpenRTB banner ad types (list 5.2), as far as markup shows them.
const (
	typeXHTML      = 2
	typeJavaScript = 3
	typeIframe     = 4
)

func compileCreative(c *Creative) compiledCreative {
	markup := strings.ToLower(c.Markup)
	cc := compiledCreative{Creative: c, insecure: insecure(markup) || strings.HasPrefix(c.ImageURL, "http://")}
	if c.Kind == BannerCreative {
		if strings.Contains(markup, "<script") {
			cc.types |= 1 << typeJavaScript
		}
		if strings.Contains(markup, "<iframe") {
			cc.types |= 1 << typeIframe
		}
		if cc.types == 0 {
			cc.types = 1 << typeXHTML
		}
	}
	return cc
}

func (c *compiledCreative) key() formatKey {
	if c.Kind == BannerCreative {
		return formatKey{BannerCreative, c.Size}
	}
	return formatKey{kind: c.Kind}
}

// insecure says whether lower-case markup names a plain http address other than an XML namespace. A link to a landing
// page counts too, because some exchanges refuse it; the operator's remedy is to write https.
func insecure(markup string) bool {
	for {
		before, after, found := strings.Cut(markup, "http://")
		if !found {
			return false
		}
		attribute := strings.TrimRight(before, `"'\= `)
		if i := strings.LastIndexAny(attribute, " \t\n<"); !strings.HasPrefix(attribute[i+1:], "xmlns") {
			return true
		}
		markup = after
	}
}

// fits says whether the creative may fill the impression in one of its formats. A video's size does not matter, because
// the player scales it. A creative without MIME type fits any list of MIME types.
func (c *compiledCreative) fits(imp *Impression) bool {
	if imp.Secure && c.insecure {
		return false
	}
	switch c.Kind {
	case BannerCreative:
		b := imp.Banner
		if b == nil || !slices.Contains(b.Sizes, c.Size) || !mimeFits(b.MIMEs, c.MIME) || intersects(b.BlockedAttributes, c.Attributes) {
			return false
		}
		for _, t := range b.BlockedTypes {
			if t >= 0 && t < 32 && c.types&(1<<t) != 0 {
				return false
			}
		}
		return true
	case VideoCreative:
		v := imp.Video
		return v != nil && mimeFits(v.MIMEs, c.MIME) && within(c.Duration, v.MinDuration, v.MaxDuration) &&
			protocolFits(v.Protocols, c.Protocol) && !intersects(v.BlockedAttributes, c.Attributes)
	case AudioCreative:
		a := imp.Audio
		return a != nil && mimeFits(a.MIMEs, c.MIME) && within(c.Duration, a.MinDuration, a.MaxDuration) &&
			protocolFits(a.Protocols, c.Protocol) && !intersects(a.BlockedAttributes, c.Attributes)
	case NativeCreative:
		return imp.Native != nil && !intersects(imp.Native.BlockedAttributes, c.Attributes)
	}
	return false
}

func mimeFits(allowed []string, mime string) bool {
	if len(allowed) == 0 || mime == "" {
		return true
	}
	for _, a := range allowed {
		if strings.EqualFold(a, mime) {
			return true
		}
	}
	return false
}

func protocolFits(allowed []int, protocol int) bool {
	return len(allowed) == 0 || slices.Contains(allowed, protocol)
}

func within(duration, from, to int) bool { return duration >= from && (to == 0 || duration <= to) }

func intersects(a, b []int) bool {
	for _, x := range b {
		if slices.Contains(a, x) {
			return true
		}
	}
	return false
}

// creative returns one of the campaign's creatives that fit, or nil. If several fit, turn selects among them evenly, so
// that each collects data.
func (c *compiledCampaign) creative(imp *Impression, turn uint64) *Creative {
	fitting := 0
	for i := range c.creatives {
		if c.creatives[i].fits(imp) {
			fitting++
		}
	}
	if fitting == 0 {
		return nil
	}
	pick := int(turn % uint64(fitting))
	for i := range c.creatives {
		if c.creatives[i].fits(imp) {
			if pick == 0 {
				return c.creatives[i].Creative
			}
			pick--
		}
	}
	return nil
}

// terms returns the terms on which the campaign could buy the impression. They are those of the open auction, if the
// campaign may take part, or of a deal that its seat and its advertiser may use. The lowest floor is taken. At equal
// floors a deal is taken, because exchanges rank deals first. If there are no terms, terms returns the reason.
func (s *CampaignSet) terms(imp *Impression, c *compiledCampaign) (deal *Deal, floor Micros, reason NoBidReason) {
	found := false
	reason = NoBidBlocked
	if !imp.PrivateAuction && len(c.Targeting.Deals) == 0 {
		if floor, found = s.inCurrency(imp.Floor, imp.FloorCurrency); !found {
			reason = NoBidCurrency
		}
	}
	for i := range imp.Deals {
		d := &imp.Deals[i]
		if len(c.Targeting.Deals) > 0 && !slices.Contains(c.Targeting.Deals, d.ID) ||
			len(d.Seats) > 0 && !slices.Contains(d.Seats, c.seat) ||
			len(d.Advertisers) > 0 && !domainListed(d.Advertisers, c.Domain) {
			continue
		}
		f, ok := s.inCurrency(d.Floor, d.FloorCurrency)
		if !ok {
			reason = NoBidCurrency
			continue
		}
		if !found || f <= floor {
			deal, floor, found = d, f, true
		}
	}
	if !found {
		return nil, 0, reason
	}
	return deal, floor, NoBidNone
}

// domainListed says whether the list has the domain or one of its parent domains.
func domainListed(list []string, domain string) bool {
	for d := domain; d != ""; d = parentDomain(d) {
		if slices.Contains(list, d) {
			return true
		}
	}
	return false
}

func (s *CampaignSet) inCurrency(amount Micros, currency string) (Micros, bool) {
	switch {
	case amount <= 0:
		return 0, true
	case currency == s.options.Currency || currency == "" && s.options.Currency == "USD":
		return amount, true
	case s.options.Convert == nil:
		return 0, false
	default:
		return s.options.Convert(amount, currency)
	}
}
