// Package openloop sends requests at times that do not depend on the answers. So a slow answer never delays the next
// request, and time spent waiting for the sender counts as latency. A closed loop sends the next request when the last
// was answered, and so omits exactly the requests that would have been slow.
package openloop

import (
	"context"
	"fmt"
	"time"

	"gavel/internal/exchange/dice"
)

// Arrivals gives the times at which requests are due, counted from the start.
type Arrivals struct {
	kind string
	rate float64
	key  dice.Key
	n    uint64
	at   float64 // seconds; the last arrival
}

// NewArrivals returns arrivals at rate a second on average: "poisson" (independent, as from many users) or "uniform"
// (evenly spaced).
func NewArrivals(kind string, rate float64, seed uint64) (*Arrivals, error) {
	if kind != "poisson" && kind != "uniform" {
		return nil, fmt.Errorf("openloop: arrivals %q are neither poisson nor uniform", kind)
	}
	if !(rate > 0 && rate <= 1e6) {
		return nil, fmt.Errorf("openloop: rate %v is not in (0, 1000000] auctions a second", rate)
	}
	return &Arrivals{kind: kind, rate: rate, key: dice.New(seed)}, nil
}

// Next returns when the next request is due.
func (a *Arrivals) Next() time.Duration {
	gap := 1.0
	if a.kind == "poisson" {
		gap = a.key.With(a.n).Exp()
	} else if a.n == 0 {
		gap = 0
	}
	a.n++
	a.at += gap / a.rate
	return time.Duration(a.at * float64(time.Second))
}

// Run calls fire for each due time that next gives, at that time or as soon afterwards as possible. It returns when
// next returns false or ctx ends. fire gets the due time, not the time of the call. fire should hand over and return:
// while it blocks, later arrivals fire late but keep their due times.
func Run(ctx context.Context, start time.Time, next func() (due time.Duration, ok bool), fire func(due time.Time)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		offset, ok := next()
		if !ok || ctx.Err() != nil {
			return
		}
		due := start.Add(offset)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		}
		fire(due)
	}
}
