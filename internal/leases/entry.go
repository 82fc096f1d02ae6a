package leases

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"gavel/internal/auction"
)

// entry is a campaign's day as the bucket holds it.
type entry struct {
	Leases map[string]part `json:"leases"`
}

// part is one bidder's share of an entry: Granted is what the bidder may spend in all, Spent what it reported.
type part struct {
	Run     string         `json:"run"` // process that holds the part; "": the part is settled, and Granted is what was spent
	Granted auction.Micros `json:"granted"`
	Spent   auction.Micros `json:"spent"`
}

// heartbeat holds the time until which a bidder counts as alive.
type heartbeat struct {
	Run     string `json:"run"`
	Expires int64  `json:"expires"` // Unix ms
	Host    string `json:"host"`    // and process, for people and for Claim
	PID     int    `json:"pid"`
}

// deadAt reports whether the bidder's bids can no longer be billed.
func (h heartbeat) deadAt(now time.Time, grace time.Duration) bool {
	return now.After(time.UnixMilli(h.Expires).Add(grace))
}

// granted is the sum leased to all bidders on the day, spent or not.
func (e *entry) granted() (sum auction.Micros) {
	for _, p := range e.Leases {
		sum += p.Granted
	}
	return sum
}

// settle returns a dead bidder's unspent money to the budget. Its part then equals what it spent.
func (e *entry) settle(bidder string, spent auction.Micros) (back auction.Micros) {
	p := e.Leases[bidder]
	p.Spent = max(p.Spent, spent)
	back = p.Granted - p.Spent
	e.Leases[bidder] = part{Granted: p.Spent, Spent: p.Spent}
	return back
}

// lend returns how much of ask is leased from the budget daily: at most the larger of least and the share of the remainder,
// and never more than the remainder.
func (e *entry) lend(ask, daily, least auction.Micros, share float64) auction.Micros {
	left := max(daily-e.granted(), 0)
	most := max(auction.Micros(float64(left)*share), least)
	return max(min(ask, most, left), 0)
}

func (e *entry) encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // maps of numbers and strings always encode
	}
	return b
}

func decodeEntry(b []byte) (*entry, error) {
	e := &entry{}
	if err := json.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("leases: budget entry damaged: %w (remedy: delete the key; bidders then lease today's spend again)", err)
	}
	if e.Leases == nil {
		e.Leases = make(map[string]part)
	}
	for name, p := range e.Leases {
		if p.Granted < 0 || p.Spent < 0 {
			return nil, fmt.Errorf("leases: budget entry damaged: bidder %q has %d granted, %d spent", name, p.Granted, p.Spent)
		}
	}
	return e, nil
}

func entryKey(h holding) string { return h.day.String() + "." + keyPart(h.campaign) }

func heartbeatKey(bidder string) string { return "bidder." + keyPart(bidder) }

// keyPart encodes a name so that a key may contain it.
func keyPart(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
