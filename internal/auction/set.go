package auction

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// SetOptions are the settings of a CampaignSet. The zero value is usable.
type SetOptions struct {
	// Currency is the ISO 4217 code of all the campaigns' money; "" means USD.
	Currency string
	// Convert converts a floor to Currency. If Convert is nil or returns false, an impression with a floor in another
	// currency gets no bid (NoBidCurrency).
	Convert func(amount Micros, from string) (Micros, bool)
	// DefaultSeat is the seat of campaigns without a seat of their own.
	DefaultSeat string
	// LocalHour returns the user's hour of the week, 0 (Monday 00:00) to 167, or false if it is unknown. It is called
	// at most once an auction, and only if a campaign targets hours. If it is nil or returns false, such campaigns do
	// not bid.
	LocalHour func(*Request) (int, bool)
	// Models are the names that a campaign's models may have; nil allows any.
	Models []string
	// Limit bounds the candidates of an impression; 0 means 16. MaxCandidates bounds those of a request and is divided
	// evenly among its impressions (at least one each); 0 means 128.
	Limit, MaxCandidates int
	// PriorClick and PriorConversion are the rates by which campaigns are ranked before a model predicts; 0 means 0.05
	// and 0.02. They only matter if more than Limit campaigns match.
	PriorClick, PriorConversion float64
}

func (o *SetOptions) fill() error {
	o.Currency = cmp.Or(o.Currency, "USD")
	o.Limit = cmp.Or(o.Limit, 16)
	o.MaxCandidates = cmp.Or(o.MaxCandidates, 128)
	o.PriorClick = cmp.Or(o.PriorClick, 0.05)
	o.PriorConversion = cmp.Or(o.PriorConversion, 0.02)
	var faults []error
	if len(o.Currency) != 3 || o.Currency != strings.ToUpper(o.Currency) {
		faults = append(faults, fmt.Errorf("auction: currency %q is not an ISO 4217 code, as in USD", o.Currency))
	}
	if o.Limit < 1 || o.MaxCandidates < o.Limit {
		faults = append(faults, fmt.Errorf("auction: limits of %d candidates an impression and %d a request: "+
			"the first must be at least 1, the second at least the first", o.Limit, o.MaxCandidates))
	}
	if !(o.PriorClick > 0 && o.PriorClick <= 1 && o.PriorConversion > 0 && o.PriorConversion <= 1) {
		faults = append(faults, fmt.Errorf("auction: prior rates %v and %v must lie in (0, 1]", o.PriorClick, o.PriorConversion))
	}
	return errors.Join(faults...)
}

// CampaignSet is an immutable, compiled set of campaigns, safe for concurrent use.
//
// Campaigns are numbered by falling expected value, those already ended last. A search in that order meets the most
// valuable campaigns first and can stop at the limit. Each dimension of targeting is an inverted index. It has a
// posting of campaigns for each value, and one for the campaigns that allow every value. A request becomes a
// conjunction of about a dozen clauses. It is evaluated 64 campaigns at a time, and 4,096 at a time where nothing can
// match. The campaigns that pass are checked one by one for what an index cannot hold: the schedule, the creatives, and
// the terms of deals.
type CampaignSet struct {
	options  SetOptions
	compiled []compiledCampaign // by ordinal
	byID     map[string]int     // ordinals
	all      []*Campaign        // as given

	everyone     *posting
	countries    dimension[string]
	regions      dimension[regionKey]
	deviceTypes  dimension[int]
	os           dimension[string]
	languages    dimension[string]
	exchanges    dimension[string]
	allowDomains dimension[string]
	pages        dimension[string] // category → campaigns that allow it
	hours        dimension[int]
	deals        dimension[string]
	formats      dimension[formatKey] // formats for which a campaign has a creative
	seats        dimension[string]
	// Exclusions: a campaign under a key must not bid on a request with that key.
	denyDomains dimension[string]
	categories  dimension[string] // a campaign's categories and their parents
	domains     dimension[string] // a campaign's domain and its parents
	apps        dimension[string]
	withheld    dimension[withholding]

	scratch sync.Pool // *scratch
}

// withholding is why a campaign does not bid on some requests, although it targets them.
type withholding int8

const (
	fromContextual withholding = iota // it bids only with consent
	fromChildren
	withoutDSA    // it has no transparency data
	withRendering // its markup shows them
	withoutRendering
)

// withholdings are the keys of a campaign in the dimension withheld.
func (c *Campaign) withholdings() (keys []withholding) {
	if c.Consent.OnlyConsented {
		keys = append(keys, fromContextual)
	}
	if c.Consent.NoChildren {
		keys = append(keys, fromChildren)
	}
	switch {
	case c.DSA == nil:
		keys = append(keys, withoutDSA)
	case c.DSA.Renders:
		keys = append(keys, withRendering)
	default:
		keys = append(keys, withoutRendering)
	}
	return keys
}

// regionKey is {US, CA} for "US-CA", and {"", CA} for "CA".
type regionKey struct{ country, region string }

// formatKey is a banner with its size, or another kind without size.
type formatKey struct {
	kind CreativeKind
	size Size
}

// compiledCampaign is a campaign, with what the search needs apart from the postings.
type compiledCampaign struct {
	*Campaign
	seat       string
	start, end int64 // Unix ns; 0: open
	creatives  []compiledCreative
}

// NewCampaignSet compiles a copy of campaigns. The error joins every fault (*Fault).
func NewCampaignSet(campaigns []Campaign, options SetOptions) (*CampaignSet, error) {
	if err := options.fill(); err != nil {
		return nil, err
	}
	s := &CampaignSet{options: options, byID: make(map[string]int, len(campaigns))}
	own := slices.Clone(campaigns)
	first := make(map[string]int, len(own))
	var errs []error
	for i := range own {
		c := &own[i]
		for _, fault := range c.Faults(i) {
			errs = append(errs, fault)
		}
		errs = append(errs, options.unserved(i, c)...)
		if j, taken := first[c.ID]; taken && c.ID != "" {
			errs = append(errs, &Fault{i, c.ID, "id", fmt.Sprintf("is also the id of campaigns[%d]; ids are unique", j)})
		}
		first[c.ID] = i
		s.all = append(s.all, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s.compile()
	s.scratch.New = func() any { return new(scratch) }
	return s, nil
}

// unserved are the faults of a campaign that names models which the bidder does not serve.
func (o *SetOptions) unserved(index int, c *Campaign) (errs []error) {
	if o.Models == nil {
		return nil
	}
	for _, m := range []struct{ path, name string }{{"models.click", c.Models.Click}, {"models.conversion", c.Models.Conversion}} {
		if m.name != "" && !slices.Contains(o.Models, m.name) {
			errs = append(errs, &Fault{index, c.ID, m.path,
				fmt.Sprintf("names the model %q, which the bidder does not serve; choose one of %q, or add it to the configuration's models", m.name, o.Models)})
		}
	}
	return errs
}

// All returns the campaigns in the order they were given; the caller must not change them.
func (s *CampaignSet) All() []*Campaign { return s.all }

// Lookup finds a campaign by its id.
func (s *CampaignSet) Lookup(id string) (*Campaign, bool) {
	if o, ok := s.byID[id]; ok {
		return s.compiled[o].Campaign, true
	}
	return nil, false
}

// Len is the number of campaigns.
func (s *CampaignSet) Len() int { return len(s.all) }

// Currency returns the currency of the campaigns' money.
func (s *CampaignSet) Currency() string { return s.options.Currency }

// expected is the value of an impression by the prior rates.
func (o *SetOptions) expected(g Goal) float64 {
	value := float64(g.Value)
	switch g.Kind {
	case CPC:
		return value * o.PriorClick
	case CPA:
		return value * o.PriorClick * o.PriorConversion
	default:
		return value
	}
}

func (s *CampaignSet) compile() {
	ordered, now := slices.Clone(s.all), time.Now()
	ended := func(c *Campaign) int { // files may keep thousands of them: last, they do not slow the search
		if !c.End.IsZero() && !c.End.After(now) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ordered, func(a, b *Campaign) int {
		return cmp.Or(cmp.Compare(ended(a), ended(b)), -cmp.Compare(s.options.expected(a.Goal), s.options.expected(b.Goal)), cmp.Compare(a.ID, b.ID))
	})
	var (
		everyone                                                []int32
		countries, os, languages, exchanges, allow, deny, pages dimensionBuilder[string]
		deals, seats, categories, domains, apps                 dimensionBuilder[string]
		deviceTypes, hours                                      dimensionBuilder[int]
		regions                                                 dimensionBuilder[regionKey]
		formats                                                 dimensionBuilder[formatKey]
		withheld                                                dimensionBuilder[withholding]
		n                                                       = len(ordered)
	)
	s.compiled = make([]compiledCampaign, n)
	for i, c := range ordered {
		o, t := int32(i), &c.Targeting
		s.byID[c.ID] = i
		cc := compiledCampaign{Campaign: c, seat: cmp.Or(c.Seat, s.options.DefaultSeat)}
		if !c.Start.IsZero() {
			cc.start = c.Start.UnixNano()
		}
		if !c.End.IsZero() {
			cc.end = c.End.UnixNano()
		}
		everyone = append(everyone, o)
		countries.add(o, t.Countries...)
		regions.add(o, mapped(mapped(t.Regions, strings.ToUpper), splitRegion)...)
		deviceTypes.add(o, t.DeviceTypes...)
		os.add(o, t.OS...)
		languages.add(o, t.Languages...)
		exchanges.add(o, t.Exchanges...)
		allow.add(o, mapped(t.AllowDomains, strings.ToLower)...)
		deny.add(o, mapped(t.DenyDomains, strings.ToLower)...)
		pages.add(o, t.PageCategories...)
		hours.add(o, t.HoursOfWeek...)
		deals.add(o, t.Deals...)
		seats.add(o, cc.seat)
		withheld.add(o, c.withholdings()...)
		var above []string
		for _, category := range c.Categories {
			for k := category; k != ""; k = parentCategory(k) {
				above = append(above, k)
			}
		}
		categories.add(o, above...)
		above = above[:0]
		for d := c.Domain; d != ""; d = parentDomain(d) {
			above = append(above, d)
		}
		domains.add(o, above...)
		if c.App != "" {
			apps.add(o, strings.ToLower(c.App))
		}
		for j := range c.Creatives {
			creative := compileCreative(&c.Creatives[j])
			cc.creatives = append(cc.creatives, creative)
			formats.add(o, creative.key())
		}
		s.compiled[i] = cc
	}
	s.everyone = newPosting(n, everyone)
	s.countries, s.regions, s.deviceTypes = countries.build(n, false), regions.build(n, false), deviceTypes.build(n, false)
	s.os, s.languages, s.exchanges = os.build(n, false), languages.build(n, false), exchanges.build(n, false)
	s.allowDomains, s.pages, s.hours = allow.build(n, false), pages.build(n, false), hours.build(n, false)
	s.deals, s.formats = deals.build(n, false), formats.build(n, false)
	s.seats, s.denyDomains, s.categories = seats.build(n, true), deny.build(n, true), categories.build(n, true)
	s.domains, s.apps, s.withheld = domains.build(n, true), apps.build(n, true), withheld.build(n, true)
}

func mapped[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}

func splitRegion(r string) regionKey {
	if country, region, ok := strings.Cut(r, "-"); ok {
		return regionKey{country, region}
	}
	return regionKey{"", r}
}

// parentCategory is "IAB1" for "IAB1-3", and "" for a category without a parent.
func parentCategory(c string) string {
	if i := strings.LastIndexByte(c, '-'); i > 0 {
		return c[:i]
	}
	return ""
}

// parentDomain is "example.com" for "ads.example.com", and "" for a top-level domain.
func parentDomain(d string) string {
	if i := strings.IndexByte(d, '.'); i >= 0 {
		return d[i+1:]
	}
	return ""
}
