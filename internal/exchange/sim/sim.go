// Package sim makes traffic: OpenRTB 2.6 bid requests from Zipf-distributed users, sites and apps, with the competing
// bid for each. Every random choice is a hash of the seed and the lot's number.
//
// To be fast, it marshals the objects of users, sites, apps and formats once, from the prebid/openrtb types. A request
// is those pieces joined.
package sim

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"gavel/internal/auction"
	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
)

// Options describe the traffic.
type Options struct {
	Seed  uint64    `yaml:"-"`
	Start time.Time `yaml:"-"` // fixes the local times, and part of every auction id

	Users         int     `yaml:"users"`          // distinct users
	UserSkew      float64 `yaml:"user_skew"`      // Zipf exponent
	Clusters      int     `yaml:"clusters"`       // groups of users with the same behaviour
	Sites         int     `yaml:"sites"`          // distinct sites
	Apps          int     `yaml:"apps"`           // distinct apps
	InventorySkew float64 `yaml:"inventory_skew"` // Zipf exponent of sites and of apps

	FirstPriceShare float64 `yaml:"first_price_share"` // lots with at=1; the others are at=2
	MultiImpShare   float64 `yaml:"multi_imp_share"`   // lots with two or three impressions
	DealShare       float64 `yaml:"deal_share"`        // impressions with deals
	BlockShare      float64 `yaml:"block_share"`       // lots with bcat and badv
	QuirkShare      float64 `yaml:"quirk_share"`       // lots with badly typed values, as some exchanges send
	SecureShare     float64 `yaml:"secure_share"`      // impressions with secure=1, which must get no http: links
	ConsentShare    float64 `yaml:"consent_share"`     // users that consent to everything; the others refuse, each by one of the signals in use
	TMaxMin         int     `yaml:"tmax_min_ms"`
	TMaxMax         int     `yaml:"tmax_max_ms"`

	FloorShare  float64 `yaml:"floor_share"`      // impressions with a floor
	RivalShare  float64 `yaml:"rival_share"`      // impressions with a competing bid
	RivalCPM    float64 `yaml:"rival_median_cpm"` // median of the highest rival bid for a banner at price level 1, USD
	RivalSpread float64 `yaml:"rival_spread"`     // standard deviation of its logarithm within a segment
}

// Defaults returns the settings of the demonstration.
func Defaults() Options {
	return Options{
		Users: 20000, UserSkew: 1.0, Clusters: 8, Sites: 250, Apps: 120, InventorySkew: 1.1,
		FirstPriceShare: 0.5, MultiImpShare: 0.15, DealShare: 0.05, BlockShare: 0.2, QuirkShare: 0.02, ConsentShare: 1, TMaxMin: 100, TMaxMax: 150,
		FloorShare: 0.8, RivalShare: 0.9, RivalCPM: 1.0, RivalSpread: 0.5,
	}
}

// Validate returns every fault.
func (o *Options) Validate() []error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("traffic."+format, args...))
		}
	}
	for _, c := range []struct {
		name  string
		value int
	}{{"users", o.Users}, {"clusters", o.Clusters}, {"sites", o.Sites}, {"apps", o.Apps}} {
		bad(c.value >= 1 && c.value <= 1_000_000, "%s: %d is not in 1 … 1000000", c.name, c.value)
	}
	for _, c := range []struct {
		name  string
		value float64
	}{{"first_price_share", o.FirstPriceShare}, {"multi_imp_share", o.MultiImpShare}, {"deal_share", o.DealShare},
		{"block_share", o.BlockShare}, {"quirk_share", o.QuirkShare}, {"secure_share", o.SecureShare}, {"consent_share", o.ConsentShare}, {"floor_share", o.FloorShare}, {"rival_share", o.RivalShare}} {
		bad(c.value >= 0 && c.value <= 1, "%s: %v is not in 0 … 1", c.name, c.value)
	}
	for _, c := range []struct {
		name  string
		value float64
	}{{"user_skew", o.UserSkew}, {"inventory_skew", o.InventorySkew}, {"rival_spread", o.RivalSpread}} {
		bad(c.value >= 0 && c.value <= 5, "%s: %v is not in 0 … 5", c.name, c.value)
	}
	bad(o.RivalCPM > 0 && o.RivalCPM <= 1000, "rival_median_cpm: %v is not in (0, 1000]", o.RivalCPM)
	bad(o.TMaxMin >= 1 && o.TMaxMin <= o.TMaxMax && o.TMaxMax <= 10_000, "tmax_min_ms, tmax_max_ms: want 1 ≤ %d ≤ %d ≤ 10000", o.TMaxMin, o.TMaxMax)
	return faults
}

// Source makes lots without end. It implements lot.Source.
type Source struct {
	o       Options
	w       *world
	formats *formats
	root    dice.Key
	prefix  string // of auction ids
	seq     int64
}

// New builds the world. With the defaults that takes some 20 MB and half a second.
func New(o Options) (*Source, error) {
	if faults := o.Validate(); len(faults) > 0 {
		return nil, fmt.Errorf("sim: cannot make traffic: %w", errors.Join(faults...))
	}
	w, err := newWorld(&o, o.Start)
	if err != nil {
		return nil, err
	}
	f, err := newFormats()
	if err != nil {
		return nil, err
	}
	root := dice.New(o.Seed)
	return &Source{o: o, w: w, formats: f, root: root.With(0x6c6f7473), // "lots"
		prefix: strconv.FormatUint(uint64(root.With(uint64(o.Start.UnixMilli()))), 36)}, nil
}

// Next fills l with the next lot. Its Due is -1, so the engine's clock decides.
func (s *Source) Next(l *lot.Lot) error {
	s.lot(l, s.seq, s.root.With(uint64(s.seq)))
	s.seq++
	return nil
}

// Samples returns n impressions of this traffic with ads of twenty invented campaigns, to calibrate the click model.
func (s *Source) Samples(n int) []clickmodel.Sample {
	out := make([]clickmodel.Sample, 0, n)
	var l lot.Lot
	for i := 0; len(out) < n; i++ {
		k := s.root.With(1 << 62).With(uint64(i))
		s.lot(&l, int64(i), k)
		campaign := strconv.Itoa(k.With(90).Intn(20))
		out = append(out, clickmodel.Sample{Context: l.Context, Size: l.Imps[0].Size,
			Ad: clickmodel.Ad{Campaign: "calibration-" + campaign, Creative: campaign + "-" + l.Imps[0].Size}})
	}
	return out
}

// lot makes lot number seq from key k.
func (s *Source) lot(l *lot.Lot, seq int64, k dice.Key) {
	u := &s.w.users[s.w.userRank.Pick(k.With(1))]
	inv := s.inventory(u, k)
	page := k.With(3).Intn(len(inv.pages))
	*l = lot.Lot{Seq: seq, ID: s.prefix + "-" + strconv.FormatInt(seq, 36), Body: l.Body[:0], Imps: l.Imps[:0], Due: -1,
		FirstBid: k.With(4).Chance(s.o.FirstPriceShare),
		TMax:     time.Duration(s.o.TMaxMin+k.With(5).Intn(s.o.TMaxMax-s.o.TMaxMin+1)) * time.Millisecond,
		Context: lot.Context{Domain: inv.domain, Category: inv.category, DeviceType: int(u.kind),
			Country: u.country.alpha3, UTCOffset: u.offset, Cluster: u.cluster, Agent: u.agent}}
	imps := 1
	if k.With(6).Chance(s.o.MultiImpShare) {
		imps = 2 + k.With(7).Intn(2)
	}
	b := append(l.Body, `{"id":"`...)
	b = append(b, l.ID...)
	b = append(b, `","imp":[`...)
	for i := range imps {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.imp(l, b, i, k.With(100+uint64(i)), u, inv)
	}
	b = append(b, `],"`...)
	if inv.app {
		b = append(b, `app":`...)
	} else {
		b = append(b, `site":`...)
	}
	b = append(b, inv.pages[page]...)
	b = append(b, `,"device":`...)
	b = append(b, u.deviceJSON...)
	b = append(b, `,"user":`...)
	b = append(b, u.user...)
	b = append(b, `,"at":`...)
	if l.FirstBid {
		b = append(b, '1')
	} else {
		b = append(b, '2')
	}
	b = append(b, `,"tmax":`...)
	b = strconv.AppendInt(b, l.TMax.Milliseconds(), 10)
	b = append(b, `,"cur":["USD"]`...)
	if k.With(8).Chance(s.o.BlockShare) {
		b = append(b, `,"bcat":["IAB25","IAB26","`...)
		b = append(b, categories[k.With(9).Intn(len(categories))]...)
		b = append(b, `"],"badv":["blocked`...)
		b = strconv.AppendInt(b, int64(k.With(10).Intn(20)), 10)
		b = append(b, `.example"]`...)
	}
	b = append(b, `,"source":{"fd":1,"tid":"`...)
	b = append(b, l.ID...)
	b = append(b, `"},"regs":`...)
	b = append(b, u.regs...)
	b = append(b, '}')
	if k.With(11).Chance(s.o.QuirkShare) {
		b = quirk(b, k.With(12))
	}
	l.Body = b
}

// inventory chooses a site or app that fits the user's device.
func (s *Source) inventory(u *user, k dice.Key) *inventory {
	app := u.kind == tv || u.kind != desktop && k.With(2).Chance(0.5)
	if app {
		return &s.w.apps[s.w.appRank.Pick(k.With(13))]
	}
	return &s.w.sites[s.w.siteRank.Pick(k.With(13))]
}

// imp appends one impression to b and to l.
func (s *Source) imp(l *lot.Lot, b []byte, i int, k dice.Key, u *user, inv *inventory) []byte {
	f := s.formats.pick(u.kind, inv, k.With(1))
	level := f.price * u.country.price * inv.price * s.o.RivalCPM
	m := lot.Imp{ID: strconv.Itoa(i + 1), Size: f.size}
	if k.With(2).Chance(s.o.RivalShare) {
		m.Rival = micros(level * lognormal(k.With(3), s.o.RivalSpread))
	}
	if k.With(4).Chance(s.o.FloorShare) {
		m.Floor = micros(math.Round(level*(0.1+0.5*k.With(5).Uniform())*100) / 100) // floors are set in cents
	}
	b = append(b, `{"id":"`...)
	b = append(b, m.ID...)
	b = append(b, `","tagid":"`...)
	b = append(b, inv.domain...)
	b = append(b, '/')
	b = append(b, f.size...)
	if k.With(8).Chance(s.o.SecureShare) {
		b = append(b, `","secure":1`...)
	} else {
		b = append(b, `","secure":0`...)
	}
	if m.Floor > 0 {
		b = append(b, `,"bidfloor":`...)
		b = strconv.AppendFloat(b, m.Floor.CPM(), 'f', -1, 64)
		b = append(b, `,"bidfloorcur":"USD"`...)
	}
	b = append(b, f.json...)
	if k.With(6).Chance(s.o.DealShare) {
		b = appendDeals(b, &m, k.With(7), level)
	}
	l.Imps = append(l.Imps, m)
	return append(b, '}')
}

func appendDeals(b []byte, m *lot.Imp, k dice.Key, level float64) []byte {
	m.Private = k.With(1).Chance(0.2)
	b = append(b, `,"pmp":{"private_auction":`...)
	if m.Private {
		b = append(b, '1')
	} else {
		b = append(b, '0')
	}
	b = append(b, `,"deals":[`...)
	for i := range 1 + k.With(2).Intn(2) {
		d := lot.Deal{
			ID:    "deal-" + strconv.Itoa(1+i*4+k.With(3).Intn(4)), // two deals of an impression differ
			Floor: micros(math.Round(level*(0.8+0.4*k.With(uint64(4+i)).Uniform())*100) / 100),
			Type:  []int{0, 1, 3}[k.With(uint64(6+i)).Intn(3)],
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":"`...)
		b = append(b, d.ID...)
		b = append(b, `","bidfloor":`...)
		b = strconv.AppendFloat(b, d.Floor.CPM(), 'f', -1, 64)
		b = append(b, `,"bidfloorcur":"USD"`...)
		if d.Type != 0 {
			b = append(b, `,"at":`...)
			b = strconv.AppendInt(b, int64(d.Type), 10)
		}
		b = append(b, '}')
		m.Deals = append(m.Deals, d)
	}
	return append(b, `]}`...)
}

func micros(cpm float64) auction.Micros {
	m, _ := auction.MicrosFromCPM(cpm)
	return m
}

// lognormal returns a lognormal number with median 1.
func lognormal(k dice.Key, spread float64) float64 { return math.Exp(spread * k.Normal()) }
