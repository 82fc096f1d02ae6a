package engine

import (
	"fmt"
	"net/url"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/strictyaml"
)

// Options are the exchange's own settings: where the bidder is, how auctions arrive, and how users behave.
type Options struct {
	Bidder   string        `yaml:"bidder"`   // base URL; requests go to <bidder>/openrtb2/bid
	Exchange string        `yaml:"exchange"` // the name of this exchange in the bidder's sellers, for examples; requests do not carry it
	Secret   string        `yaml:"secret"`   // by which the bidder knows this exchange: requests go to …/bid/<secret>; "": by its address
	Rate     float64       `yaml:"rate"`     // auctions a second; 0: the source's own clock, if it has one
	Arrivals string        `yaml:"arrivals"` // poisson or uniform
	Duration time.Duration `yaml:"duration"` // how long lots are offered; 0: until the source ends or a signal comes
	Limit    int64         `yaml:"limit"`    // lots to offer; 0: no limit
	Seed     uint64        `yaml:"seed"`

	Connections int           `yaml:"connections"` // most bid requests in flight
	Grace       time.Duration `yaml:"grace"`       // how long after tmax the exchange still waits for an answer, which is then late
	WaitBidder  time.Duration `yaml:"wait_bidder"` // how long to wait at the start for the bidder to accept connections
	GzipShare   float64       `yaml:"gzip_share"`  // share of requests that are compressed and accept a compressed answer

	RenderShare     float64       `yaml:"render_share"`     // share of wins that are shown, and so billed
	RenderDelay     dice.Delay    `yaml:"render_delay"`     // from win to impression
	ClickDelay      dice.Delay    `yaml:"click_delay"`      // from impression to click
	ConversionDelay dice.Delay    `yaml:"conversion_delay"` // from click to conversion
	ConversionPath  string        `yaml:"conversion_path"`  // GET <origin of the click URL><path>?t=<click id>&c=<conversion id>
	ClickIDParams   []string      `yaml:"click_id_params"`  // parameters of the landing page in which the click id may be
	NoticeHosts     []string      `yaml:"notice_hosts"`     // hosts that may be called, apart from the bidder's
	NoticeWorkers   int           `yaml:"notice_workers"`   // most notices in flight
	NoticeAttempts  int           `yaml:"notice_attempts"`  // for one notice, in total
	NoticeBackoff   time.Duration `yaml:"notice_backoff"`   // pause before the second attempt; it doubles with each attempt
	NoticeTimeout   time.Duration `yaml:"notice_timeout"`   // of one attempt
	DuplicateShare  float64       `yaml:"duplicate_share"`  // share of notices sent twice
	ReorderShare    float64       `yaml:"reorder_share"`    // share of notices delayed by up to a second
	DrainPatience   time.Duration `yaml:"drain_patience"`   // at the end, how long notices keep their own times
	DrainBound      time.Duration `yaml:"drain_bound"`      // at the end, after which pending notices count as failed
}

// Defaults returns the settings of the demonstration.
func Defaults() Options {
	return Options{
		Bidder: "http://127.0.0.1:8090", Exchange: "sim", Rate: 300, Arrivals: "poisson", Seed: 1,
		Connections: 256, Grace: 250 * time.Millisecond, WaitBidder: 10 * time.Second, GzipShare: 0.05,
		RenderShare:     0.98,
		RenderDelay:     dice.Delay{Min: 5 * time.Millisecond, Mean: 50 * time.Millisecond, Max: 500 * time.Millisecond},
		ClickDelay:      dice.Delay{Min: 200 * time.Millisecond, Mean: 600 * time.Millisecond, Max: 2 * time.Second},
		ConversionDelay: dice.Delay{Min: 200 * time.Millisecond, Mean: 600 * time.Millisecond, Max: 2 * time.Second},
		ConversionPath:  "/n/conversion", ClickIDParams: []string{"gavel_click", "click_id"},
		NoticeWorkers: 64, NoticeAttempts: 5, NoticeBackoff: 100 * time.Millisecond, NoticeTimeout: 5 * time.Second,
		DrainPatience: 5 * time.Second, DrainBound: 20 * time.Second,
	}
}

var _ strictyaml.Validator = (*Options)(nil)

// Validate returns every fault.
func (o *Options) Validate() []error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(o.Bidder)
	bad(err == nil && u.Scheme == "http" && u.Hostname() != "", "bidder: %q is not an http:// URL", o.Bidder)
	bad(o.Rate >= 0 && o.Rate <= 1e6, "rate: %v is not in 0 … 1000000 auctions a second", o.Rate)
	bad(o.Arrivals == "poisson" || o.Arrivals == "uniform", "arrivals: %q is neither poisson nor uniform", o.Arrivals)
	bad(o.Limit >= 0, "limit: %d is negative", o.Limit)
	for _, c := range []struct {
		name  string
		value int
		max   int
	}{{"connections", o.Connections, 10_000}, {"notice_workers", o.NoticeWorkers, 10_000}, {"notice_attempts", o.NoticeAttempts, 20}} {
		bad(c.value >= 1 && c.value <= c.max, "%s: %d is not in 1 … %d", c.name, c.value, c.max)
	}
	for _, c := range []struct {
		name  string
		value float64
	}{{"gzip_share", o.GzipShare}, {"render_share", o.RenderShare}, {"duplicate_share", o.DuplicateShare}, {"reorder_share", o.ReorderShare}} {
		bad(c.value >= 0 && c.value <= 1, "%s: %v is not in 0 … 1", c.name, c.value)
	}
	for _, c := range []struct {
		name  string
		value time.Duration
	}{{"duration", o.Duration}, {"grace", o.Grace}, {"wait_bidder", o.WaitBidder}, {"notice_backoff", o.NoticeBackoff},
		{"drain_patience", o.DrainPatience}, {"drain_bound", o.DrainBound}} {
		bad(c.value >= 0, "%s: %v is negative", c.name, c.value)
	}
	bad(o.NoticeTimeout > 0, "notice_timeout: %v is not above 0", o.NoticeTimeout)
	for _, c := range []struct {
		name string
		d    dice.Delay
	}{{"render_delay", o.RenderDelay}, {"click_delay", o.ClickDelay}, {"conversion_delay", o.ConversionDelay}} {
		if fault := c.d.Fault(c.name); fault != nil {
			faults = append(faults, fault)
		}
	}
	return faults
}
