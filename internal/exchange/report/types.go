package report

import (
	"time"

	"gavel/internal/exchange/shoppers"
)

// Answer says how the bidder answered one bid request.
type Answer int

const (
	Bids    Answer = iota // 200 with at least one bid
	NoBid                 // 204, or 200 without bids
	Reject                // 400 to a body that may be malformed
	Timeout               // no answer in time
	Failed                // any other status, a broken connection, an unreadable body
)

// Timing is when one bid request was due, sent and answered.
type Timing struct {
	Due, Sent, Answered time.Time
	TMax                time.Duration
}

// Late says whether the answer came more than tmax after the request was DUE. So the bidder is also charged for delays
// of the generator; Sent distinguishes the two.
func (t Timing) Late() bool { return t.Answered.Sub(t.Due) > t.TMax }

// Campaign is the books of one campaign. Spend is the sum of the clearing prices of billed impressions.
type Campaign struct {
	Bids        int64 `json:"bids"`
	Wins        int64 `json:"wins"`
	Billed      int64 `json:"billed"`
	Clicks      int64 `json:"clicks"`
	Conversions int64 `json:"conversions"`
	SpendMicros int64 `json:"spend_micros"`
}

// Latency is in milliseconds.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
	Mean float64 `json:"mean_ms"`
}

// Report is the whole run. Counters count lots (one bid request each) unless they name bids or notices.
type Report struct {
	Mode     string  `json:"mode"` // simulate or replay
	Source   string  `json:"source"`
	Seed     uint64  `json:"seed"`
	Seconds  float64 `json:"seconds"` // how long lots were offered, without draining
	Auctions int64   `json:"auctions"`
	Answered int64   `json:"answered"` // with 200 or 204, in time or late
	// NoBids were answered without a bid. Rejected were answered with 400, and the body may have been malformed.
	NoBids   int64 `json:"no_bids"`
	Rejected int64 `json:"rejected"`
	Bids     int64 `json:"bids"` // bids received, including invalid and late ones
	Invalid  int64 `json:"invalid"`
	Wins     int64 `json:"wins"`
	Billed   int64 `json:"billed"`
	Losses   int64 `json:"losses"`
	// LossReasons count losing bids by OpenRTB's code (list 5.25).
	LossReasons map[string]int64 `json:"loss_reasons"`
	Clicks      int64            `json:"clicks"`
	Conversions int64            `json:"conversions"`
	SpendMicros int64            `json:"spend_micros"`
	// Late were answered more than tmax after they were due, or not at all. LateFromSend counts from the actual send,
	// so without the generator's own delay. Timeouts had no answer; all of them are late.
	Late         int64 `json:"late"`
	LateFromSend int64 `json:"late_from_send"`
	Timeouts     int64 `json:"timeouts"`
	// Errors = HTTPErrors (connection, status, unreadable body) + NoticesFailed + Untold.
	Errors        int64 `json:"errors"`
	HTTPErrors    int64 `json:"http_errors"`
	NoticesSent   int64 `json:"notices_sent"`
	NoticeRetries int64 `json:"notice_retries"`
	NoticesFailed int64 `json:"notices_failed"`
	NoticeTwins   int64 `json:"notices_duplicated"`
	// Untold are clicks and conversions that could not be reported: the markup has no click URL with an allowed host,
	// or the landing page got no click id.
	Untold int64 `json:"untold"`

	RateOffered  float64 `json:"rate_offered"`  // auctions/s by the setting; 0: the source's own clock
	RateAchieved float64 `json:"rate_achieved"` // auctions/s sent
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	P999         float64 `json:"p999_ms"`
	Latency      Latency `json:"latency_from_due"`
	FromSend     Latency `json:"latency_from_send"`
	SendLag      Latency `json:"send_lag"` // from due to the actual send
	// TeacherClickSum is the sum of the hidden click probabilities of billed impressions: the expected number of clicks.
	TeacherClickSum float64              `json:"teacher_click_sum"`
	ByCampaign      map[string]*Campaign `json:"by_campaign"`
	Ranking         *shoppers.Report     `json:"ranking,omitempty"` // nil: there was no ranker
}

// Status is the state of a running exchange. The recent figures cover the last whole seconds, at most RecentSeconds.
type Status struct {
	State       string  `json:"state"` // offering, draining, done
	Seconds     float64 `json:"seconds"`
	Auctions    int64   `json:"auctions"`
	Rate        float64 `json:"rate"` // recent auctions/s
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Bids        int64   `json:"bids"`
	Wins        int64   `json:"wins"`
	Billed      int64   `json:"billed"`
	Clicks      int64   `json:"clicks"`
	Conversions int64   `json:"conversions"`
	SpendMicros int64   `json:"spend_micros"`
	Late        int64   `json:"late"`
	Errors      int64   `json:"errors"`
	Pending     int64   `json:"notices_pending"`

	Ranking *shoppers.Report `json:"ranking,omitempty"` // nil: there is no ranker
}

// RecentSeconds is how many seconds the recent figures of Status cover.
const RecentSeconds = 5
