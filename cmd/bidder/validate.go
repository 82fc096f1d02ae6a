package main

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"gavel/internal/engine/tensorflow"
	"gavel/internal/models"
	"gavel/internal/predict"
	"gavel/internal/process"
)

// Bounds that other packages enforce. They are repeated here, so that a bad file is refused before anything starts.
const (
	minTmax, maxTmax = 10 * time.Millisecond, time.Second // of openrtb.Timing
	maxCandidates    = 128                                // a request; of auction.SetOptions
	maxName          = 64                                 // of leases.Options.Bidder
)

// faultFunc adds a fault.
type faultFunc func(format string, args ...any)

// Validate implements strictyaml.Validator. It returns every fault, sorted.
func (c *Config) Validate() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	c.addressFaults(fault)
	for name, settings := range c.Sellers {
		faults = append(faults, settings.Faults(name, c.Auction.Currency)...)
	}
	c.emptyFaults(fault)
	c.auctionFaults(fault)
	faults = append(faults, c.modelFaults()...)
	faults = append(faults, c.Privacy.Faults("privacy")...)
	faults = append(faults, c.Events.Faults()...)
	faults = append(faults, c.Log.Faults()...)
	c.discoverFaults(fault)
	c.predictFaults(fault)
	c.numberFaults(fault)
	c.otherFaults(fault)
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

func (c *Config) addressFaults(fault faultFunc) {
	for key, value := range map[string]string{"listen": c.Listen, "admin_listen": c.AdminListen, "notices.listen": c.Notices.Listen} {
		if _, _, err := process.SplitPort(value); err != nil {
			fault("%s: %q is not host:port; write 127.0.0.1:8090, say", key, value)
		}
	}
	if _, _, err := process.SplitPort(c.HealthListen); c.HealthListen != "" && err != nil {
		fault("health_listen: %q is not host:port; write 127.0.0.1:8088, say, or nothing", c.HealthListen)
	}
	if _, _, err := process.SplitPort(c.Predict.Listen); c.Predict.Listen != "" && err != nil {
		fault("predict.listen: %q is not host:port; write 127.0.0.1:8094, say, or nothing", c.Predict.Listen)
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		fault("public_url: %q is not an http or https URL", c.PublicURL)
	}
}

// emptyFaults finds required settings that are empty.
func (c *Config) emptyFaults(fault faultFunc) {
	for key, value := range map[string]string{
		"name": c.Name, "state_dir": c.StateDir, "campaigns": c.Campaigns, "model_store": c.ModelStore,
		"auction.click": c.Auction.Click, "auction.seat": c.Auction.Seat,
	} {
		if value == "" {
			fault("%s: is empty; set it", key)
		}
	}
}

func (c *Config) auctionFaults(fault faultFunc) {
	a := &c.Auction
	if len(a.Currency) != 3 || a.Currency != strings.ToUpper(a.Currency) {
		fault("auction.currency: %q is not an ISO 4217 code such as USD", a.Currency)
	}
	if a.NoBidStatus != 200 && a.NoBidStatus != 204 {
		fault("auction.no_bid_status: %d is neither 204 nor 200", a.NoBidStatus)
	}
	if a.TmaxDefault < minTmax || a.TmaxDefault > maxTmax {
		fault("auction.tmax_default: %v must be %v to %v", a.TmaxDefault, minTmax, maxTmax)
	}
	if a.TmaxMargin < 0 || a.TmaxMargin >= a.TmaxDefault {
		fault("auction.tmax_margin: %v must be at least 0 and less than tmax_default (%v)", a.TmaxMargin, a.TmaxDefault)
	}
	if n := a.FirstPriceBidders; !(n >= 1 && n <= 1e6) {
		fault("auction.first_price_bidders: %v must be 1 to 1e6", n)
	}
	if n := a.MaxCandidates; n < 1 || n > maxCandidates {
		fault("auction.max_candidates: %d must be 1 to %d", n, maxCandidates)
	}
}

// modelFaults are the faults of batcher, of models, and of the settings that name a model.
func (c *Config) modelFaults() (faults []error) {
	shared := c.shared()
	faults = append(faults, shared.Faults("batcher", shared)...)
	for name, settings := range c.Models {
		key := "models." + name
		if err := models.CheckModel(name); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", key, err))
		}
		faults = append(faults, settings.Faults(key, shared)...)
		if e := settings.Engine; e != nil && !slices.Contains(engines(), *e) {
			faults = append(faults, fmt.Errorf("%s.engine: %q is none of %q; leave it out for each version's first format", key, *e, engines()))
		}
	}
	if c.usesWorkers() {
		faults = append(faults, c.Workers.Faults()...)
	}
	for key, name := range map[string]string{"auction.click": c.Auction.Click, "auction.conversion": c.Auction.Conversion} {
		if name != "" && !slices.Contains(c.served(), name) {
			faults = append(faults, fmt.Errorf("%s: %q is not among models: %q; add it there, or leave models out", key, name, c.served()))
		}
	}
	return faults
}

func (c *Config) discoverFaults(fault faultFunc) {
	d := &c.Discover
	if _, err := path.Match(d.Pattern, ""); err != nil || d.Pattern == "" {
		fault("discover.pattern: %q is no pattern; write *, or churn_*, say", d.Pattern)
	}
	if d.MemoryBytes < 0 {
		fault("discover.memory_bytes: %d must be above 0, or 0 for no bound", d.MemoryBytes)
	}
	if d.MemoryBytes > 0 && !d.Enabled {
		fault("discover.memory_bytes: only discovered models are unloaded; set discover.enabled, or leave it out")
	}
}

func (c *Config) predictFaults(fault faultFunc) {
	p := &c.Predict
	if p.Timeout < time.Millisecond || p.Timeout > predict.MaxTimeout {
		fault("predict.timeout: %v must be 1ms to %v", p.Timeout, predict.MaxTimeout)
	}
	if p.Listen == "" {
		return
	}
	for _, model := range c.served() {
		if most := c.batching(model).Queue().QueueRows; p.Rows > most {
			fault("predict.rows: %d is more than the queue of %s holds (%d); raise batcher.queue_rows or models.%[2]s.queue_rows", p.Rows, model, most)
		}
	}
}

// numberFaults finds settings that are not above 0, but must be.
func (c *Config) numberFaults(fault faultFunc) {
	for key, value := range map[string]int64{
		"predict.body_bytes": int64(c.Predict.BodyBytes), "predict.rows": int64(c.Predict.Rows),
		"predict.connections": int64(c.Predict.Connections),
		"limits.body_bytes":   int64(c.Limits.BodyBytes), "limits.connections": int64(c.Limits.Connections),
		"limits.auctions": int64(c.Limits.Auctions), "limits.cpu_wait": int64(c.Limits.CPUWait),
		"limits.gc_percent": int64(c.Limits.GCPercent), "limits.gc_bytes": c.Limits.GCBytes,
		"limits.read_timeout": int64(c.Limits.ReadTimeout), "limits.write_timeout": int64(c.Limits.WriteTimeout),
		"limits.idle_timeout": int64(c.Limits.IdleTimeout), "budget.reservation": int64(c.Budget.Reservation),
	} {
		if value <= 0 {
			fault("%s: must be above 0", key)
		}
	}
	for key, value := range map[string]int64{
		"plans.stage_cache_bytes": c.Plans.StageCacheBytes, "plans.row_cache_bytes": c.Plans.RowCacheBytes,
	} {
		if value != 0 && (value < minCacheBytes || value > maxCacheBytes) {
			fault("%s: %d is not 0, which is off, nor in [%d, %d]", key, value, int64(minCacheBytes), int64(maxCacheBytes))
		}
	}
}

// A smaller cache would hold too little to pay.
const minCacheBytes, maxCacheBytes = 1 << 20, 1 << 40

func (c *Config) otherFaults(fault faultFunc) {
	if len(c.Name) > maxName {
		fault("name: is %d bytes long; use at most %d", len(c.Name), maxName)
	}
	if body := max(c.Limits.BodyBytes, c.Predict.BodyBytes); c.Limits.UnderWayBytes < int64(body)+process.MaxHead {
		fault("limits.under_way_bytes: %d is too little for one request; set it to some hundred times limits.body_bytes", c.Limits.UnderWayBytes)
	}
	if d := c.Limits.DrainDelay; d < 0 || d > process.MaxDrain {
		fault("limits.drain_delay: %v must be 0s to %v", d, process.MaxDrain)
	}
	if s := c.Budget.LeaseShare; !(s > 0 && s <= 1) {
		fault("budget.lease_share: %v must be above 0 and at most 1", s)
	}
	if !slices.Contains(tensorflow.Threadings, tensorflow.Threading(c.TensorFlow.Threading)) {
		fault("tensorflow.threading: %q is none of %v", c.TensorFlow.Threading, tensorflow.Threadings)
	}
}
