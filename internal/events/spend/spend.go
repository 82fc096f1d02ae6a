// Package spend computes spend from the billing events on the stream, which are its only record.
package spend

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/stream"
)

// Ledger books spend; internal/auction's Ledger has this method.
type Ledger interface {
	// Book spends price of the campaign's budget for bid id, on the day when the bid was made. Of several bills of one bid,
	// the largest counts. Book returns what it added, and false if the bill changed nothing.
	Book(campaign, id string, price auction.Micros, made time.Time) (added auction.Micros, counted bool)
}

// Rebuilt is what Rebuild found.
type Rebuilt struct {
	Messages, Bookings, Repeats, Lost uint64
	Spend                             auction.Micros // of the bookings that counted, each on the day of its bid
}

// Rebuild restores a ledger after a restart from the stream's messages. It books every billing event of the UTC day of now,
// and of the time before now in which bills may come (within) if that reaches back further. So a bill that is repeated just
// after midnight books nothing. Bookings are by bid id, so events that are booked already change nothing. Rebuild reads the messages that the
// stream held when it began. If source is not "", it books only the events of that bidder. Damaged messages are logged and skipped.
func Rebuild(ctx context.Context, s stream.Stream, source string, now time.Time, within time.Duration, ledger Ledger, log *slog.Logger) (Rebuilt, error) {
	var out Rebuilt
	since := now.UTC().Truncate(24 * time.Hour)
	if believed := now.Add(-within); believed.Before(since) {
		since = believed
	}
	err := replay(ctx, s, since, log, func(m *events.Message) {
		out.Messages++
		out.Lost += m.Lost
		if source != "" && m.Source != source {
			return
		}
		for i := range m.Events {
			e := &m.Events[i]
			if e.Type != events.TypeBilling || e.Version > events.Schema || e.At().Before(since) {
				continue
			}
			if added, counted := ledger.Book(e.Campaign, e.Key, e.Price, e.BidAt()); counted {
				out.Bookings++
				out.Spend += added
			} else {
				out.Repeats++
			}
		}
	})
	if err != nil {
		return out, fmt.Errorf("spend: cannot restore today's spend from the stream after %d messages: %w", out.Messages, err)
	}
	return out, nil
}

// Of sums the bills of one bidder's bids of a UTC day by campaign, of each bid the largest. That is what a dead bidder really
// spent.
// Damaged messages are logged and skipped.
func Of(ctx context.Context, s stream.Stream, source string, day auction.Day, log *slog.Logger) (map[string]auction.Micros, error) {
	spent := make(map[string]auction.Micros)
	most := make(map[string]auction.Micros) // by event id
	err := replay(ctx, s, day.Start(), log, func(m *events.Message) {
		if m.Source != source {
			return
		}
		for i := range m.Events {
			e := &m.Events[i]
			if e.Type != events.TypeBilling || e.Version > events.Schema || auction.DayOf(e.BidAt()) != day {
				continue
			}
			if before := most[e.ID]; e.Price > before {
				most[e.ID] = e.Price
				spent[e.Campaign] += e.Price - before
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("spend: cannot sum the spend of %s on %s: %w", source, day, err)
	}
	return spent, nil
}

// replay calls f with each message stored since a time, up to the stream's last message when replay begins.
func replay(ctx context.Context, s stream.Stream, since time.Time, log *slog.Logger, f func(*events.Message)) error {
	r, err := s.OpenSince(ctx, since)
	if err != nil {
		return err
	}
	defer r.Close()
	state, err := s.State(ctx)
	if err != nil {
		return err
	}
	if state.Messages == 0 || state.LastTime.Before(since) {
		return nil // nothing to wait for
	}
	for {
		e, err := r.Next(ctx)
		if err != nil {
			return err
		}
		if e.At.Compare(state.Last) > 0 {
			return nil
		}
		m := codec.Read(e)
		if m.Damaged != nil {
			log.Error("message damaged: bills after the damage are not counted", "at", m.At.String(), "source", m.Source, "error", m.Damaged)
		}
		f(&m)
		if m.At == state.Last {
			return nil
		}
	}
}
