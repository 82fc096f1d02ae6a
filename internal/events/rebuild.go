package events

import (
	"context"
	"fmt"
	"time"

	"gavel/internal/auction"
)

// Rebuilt is what RebuildSpend found.
type Rebuilt struct {
	Messages, Bookings, Repeats, Lost uint64
	Spend                             auction.Micros // of the bookings that counted, each on the day of its event
}

// RebuildSpend books every billing event of the UTC day of now into the ledger, and those of the last ExchangeTTL where
// that reaches back further, from the stream's messages since then: spend that notices booked before a restart, and the
// ids of bids whose bills are still believed, so that a bill told again just after midnight books nothing. A ledger that has some of it already is not changed by it,
// since bookings are by bid id. It reads what the stream held when it began, and returns at its end. source limits it
// to the events of one bidder; "" takes all.
func RebuildSpend(ctx context.Context, s *Stream, source string, now time.Time, ledger Ledger) (Rebuilt, error) {
	var out Rebuilt
	since := now.UTC().Truncate(24 * time.Hour)
	if believed := now.Add(-defaultExchangeTTL); believed.Before(since) {
		since = believed
	}
	err := s.replay(ctx, since, func(m *Message) {
		out.Messages++
		out.Lost += m.Lost
		if source != "" && m.Source != source {
			return
		}
		for i := range m.Events {
			e := &m.Events[i]
			if e.Type != TypeBilling || e.Version > Schema || e.At().Before(since) {
				continue
			}
			if ledger.Book(e.Campaign, e.Key, e.Price, e.At()) {
				out.Bookings++
				out.Spend += e.Price
			} else {
				out.Repeats++
			}
		}
	})
	if err != nil {
		return out, fmt.Errorf("events: cannot restore today's spend from the stream after %d messages: %w", out.Messages, err)
	}
	return out, nil
}

// SpendOf sums the billing events of one bidder on a UTC day by campaign, each bid once: what a bidder that is gone has
// really spent.
func SpendOf(ctx context.Context, s *Stream, source string, day auction.Day) (map[string]auction.Micros, error) {
	spent := make(map[string]auction.Micros)
	seen := make(map[string]struct{})
	err := s.replay(ctx, day.Start(), func(m *Message) {
		if m.Source != source {
			return
		}
		for i := range m.Events {
			e := &m.Events[i]
			if e.Type != TypeBilling || e.Version > Schema || auction.DayOf(e.At()) != day {
				continue
			}
			if _, ok := seen[e.ID]; !ok {
				seen[e.ID] = struct{}{}
				spent[e.Campaign] += e.Price
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("events: cannot sum the spend of %s on %s: %w", source, day, err)
	}
	return spent, nil
}

// replay hands out the messages stored since a time, up to the last there is when it begins.
func (s *Stream) replay(ctx context.Context, since time.Time, f func(*Message)) error {
	rd, err := s.ReaderSince(ctx, since)
	if err != nil {
		return err
	}
	defer rd.Close()
	st, err := s.js.Stream(ctx, StreamName)
	if err != nil {
		return err
	}
	state := st.CachedInfo().State
	if state.Msgs == 0 || state.LastTime.Before(since) {
		return nil // nothing to wait for
	}
	last := state.LastSeq
	for {
		m, err := rd.Next(ctx)
		if err != nil {
			return err
		}
		if m.Seq > last {
			return nil
		}
		f(&m)
		if m.Seq == last {
			return nil
		}
	}
}
