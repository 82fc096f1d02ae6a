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

// part is what one bidder has of it: Granted is what it may spend in all, Spent what it reported.
type part struct {
	Run     string         `json:"run"` // process that holds it; "": nobody, Granted is what was spent
	Granted auction.Micros `json:"granted"`
	Spent   auction.Micros `json:"spent"`
}

// heartbeat says until when a bidder counts as alive.
type heartbeat struct {
	Run     string `json:"run"`
	Expires int64  `json:"expires"` // Unix ms
}

// deadAt says whether nothing can come of the bidder's bids any more.
func (h heartbeat) deadAt(now time.Time, grace time.Duration) bool {
	return now.After(time.UnixMilli(h.Expires).Add(grace))
}

// granted is what is handed out of the day, spent or not.
func (e *entry) granted() (sum auction.Micros) {
	for _, p := range e.Leases {
		sum += p.Granted
	}
	return sum
}

// settle gives a dead bidder's unspent money back: from then on it has what it spent.
func (e *entry) settle(bidder string, spent auction.Micros) (back auction.Micros) {
	p := e.Leases[bidder]
	p.Spent = max(p.Spent, spent)
	back = p.Granted - p.Spent
	e.Leases[bidder] = part{Granted: p.Spent, Spent: p.Spent}
	return back
}

// lend is how much of ask is lent when daily is the budget: at most the share of what is left, or least if that is
// more, and never more than is left.
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
		return nil, fmt.Errorf("leases: budget entry damaged: %w (delete the key, and today's spend has to be leased anew)", err)
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

// keyPart makes any name a token that keys may hold.
func keyPart(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
