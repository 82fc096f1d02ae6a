package console

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// CountedLedger is a ledger that counts in a metric what notices book. It implements notices.Ledger.
type CountedLedger struct {
	*auction.Ledger
	spend *prometheus.CounterVec
}

// NewCountedLedger registers gavel_spend_micros_total, the sum of the bookings made through the returned ledger. It panics
// if the metric is registered already.
func NewCountedLedger(ledger *auction.Ledger, metrics prometheus.Registerer) CountedLedger {
	c := CountedLedger{ledger, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gavel_spend_micros_total",
		Help: "Spend that this process booked from billing notices, in millionths of the currency.",
	}, []string{"campaign"})}
	metrics.MustRegister(c.spend)
	return c
}

// Book implements notices.Ledger.
func (c CountedLedger) Book(campaign, id string, price auction.Micros, made time.Time) (added auction.Micros, counted bool) {
	added, counted = c.Ledger.Book(campaign, id, price, made)
	if counted {
		c.spend.WithLabelValues(campaign).Add(float64(added))
	}
	return added, counted
}

// moneyCollector exports today's accounts of the ledger, and the counts of the ledger and the auctioneer.
type moneyCollector struct {
	ledger     *auction.Ledger
	auctioneer *auction.Auctioneer
}

// NewMoney returns the metrics of budgets, spend and auctions. Money is in millionths of the currency.
func NewMoney(ledger *auction.Ledger, auctioneer *auction.Auctioneer) prometheus.Collector {
	return &moneyCollector{ledger, auctioneer}
}

var (
	budgetDesc   = prometheus.NewDesc("gavel_budget_micros", "Daily budget of the campaign.", []string{"campaign"}, nil)
	allowedDesc  = prometheus.NewDesc("gavel_allowed_micros", "Money that this bidder may spend on the campaign today: the sum of its leases.", []string{"campaign"}, nil)
	spentDesc    = prometheus.NewDesc("gavel_spent_today_micros", "Spend booked today, including that of earlier processes of this bidder.", []string{"campaign"}, nil)
	reservedDesc = prometheus.NewDesc("gavel_reserved_micros", "Money reserved for bids that are not settled yet.", []string{"campaign"}, nil)
	ledgerDesc   = prometheus.NewDesc("gavel_ledger_total", "Reservations and bookings by outcome.", []string{"outcome"}, nil)
	auctionsDesc = prometheus.NewDesc("gavel_auction_total", "Auctions and their candidates, by the step of the auction that they reached.", []string{"step"}, nil)
)

// Describe implements prometheus.Collector.
func (c *moneyCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *moneyCollector) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	for _, s := range c.ledger.Snapshot(now) {
		if s.Day != auction.DayOf(now) {
			continue
		}
		for desc, micros := range map[*prometheus.Desc]auction.Micros{allowedDesc: s.Allowed, spentDesc: s.Spent, reservedDesc: s.Reserved} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(micros), s.Campaign)
		}
	}
	if set := c.auctioneer.Campaigns(); set != nil {
		for _, campaign := range set.All() {
			ch <- prometheus.MustNewConstMetric(budgetDesc, prometheus.GaugeValue, float64(campaign.DailyBudget), campaign.ID)
		}
	}
	l, a := c.ledger.Stats(), c.auctioneer.Stats()
	for outcome, n := range map[string]uint64{
		"reserved": l.Reserved, "refused": l.Refused, "full": l.Full, "released": l.Released, "expired": l.Expired,
		"booked": l.Booked, "repeated": l.Repeated, "unheld": l.Unheld, "forgotten": l.Forgotten,
	} {
		ch <- prometheus.MustNewConstMetric(ledgerDesc, prometheus.CounterValue, float64(n), outcome)
	}
	for step, n := range map[string]uint64{
		"auctions": a.Auctions, "candidates": a.Candidates, "row_refused": a.Refused, "below_floor": a.BelowFloor,
		"paced": a.Paced, "spent": a.Spent, "unreserved": a.Unreserved, "bids": a.Bids,
	} {
		ch <- prometheus.MustNewConstMetric(auctionsDesc, prometheus.CounterValue, float64(n), step)
	}
}
