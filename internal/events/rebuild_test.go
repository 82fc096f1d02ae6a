package events

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
)

func TestRebuildSpend(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	ctx := within(t, 20*time.Second)
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if got, err := RebuildSpend(ctx, s, "", now, ledger); err != nil || got.Bookings != 0 {
		t.Fatalf("an empty stream: %+v, %v", got, err)
	}
	for _, source := range []string{"bidder-1", "bidder-2"} {
		p := publisher(t, s, PublisherOptions{Source: source})
		for i := range 100 {
			e := eventNo(i)
			e.Key, e.Time = source+e.Key, now.UnixMilli()
			e.ID = EventID(TypeBilling, e.Key)
			for range 1 + i%2 { // some twice
				if err := p.Publish(e); err != nil {
					t.Fatal(err)
				}
			}
			e.Type = TypeWin
			if err := p.Publish(e); err != nil {
				t.Fatal(err)
			}
		}
		old := eventNo(999)
		old.Time = now.Add(-24 * time.Hour).UnixMilli()
		if err := p.PublishDurable(ctx, old); err != nil {
			t.Fatal(err)
		}
	}
	day := auction.DayOf(now)
	ledger.Book("c", "bidder-1"+"000003", 1, now) // known already
	got, err := RebuildSpend(ctx, s, "bidder-1", now, ledger)
	if err != nil || got.Bookings != 99 || got.Repeats != 51 || ledger.Spent("c", day) != 100 {
		t.Errorf("%+v, spent %d, %v", got, ledger.Spent("c", day), err)
	}
	if got, err = RebuildSpend(ctx, s, "", now, ledger); err != nil || got.Bookings != 100 || ledger.Spent("c", day) != 200 {
		t.Errorf("%+v, spent %d, %v", got, ledger.Spent("c", day), err)
	}
	spent, err := SpendOf(ctx, s, "bidder-2", day)
	if err != nil || spent["c"] != 100 || len(spent) != 1 {
		t.Errorf("%v, %v", spent, err)
	}
}

// Bills that were in the journal when a process died are spend too: the next one waits for them before it counts.
func TestWaitCaughtUp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spill")
	j, _, err := openJournal(file, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	const bills = 500
	for i := range bills {
		if err := j.append(appendRecord(nil, fmt.Sprintf("earlier-%d", i), EncodeMessage([]Event{*eventNo(i)})), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	server := startServer(t, filepath.Join(dir, "stream"), 0)
	port := portOf(t, server)
	s := connect(t, server)
	server.Close()
	p := publisher(t, s, PublisherOptions{SpillFile: file})
	if err := p.WaitCaughtUp(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), file) {
		t.Fatalf("with the stream away: %v", err)
	}
	startServer(t, filepath.Join(dir, "stream"), port)
	if err := p.WaitCaughtUp(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := RebuildSpend(within(t, 20*time.Second), s, "bidder-1", time.Now(), ledger)
	if err != nil || got.Bookings != bills || got.Spend != bills {
		t.Fatalf("restored %+v, %v, want %d bookings of 1", got, err, bills)
	}
}

// Bills are believed for an hour after the bid: just after midnight, yesterday's last ids must be known.
func TestRebuildSpendAfterMidnight(t *testing.T) {
	s := connect(t, startServer(t, t.TempDir(), 0))
	ctx := within(t, 20*time.Second)
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	p := publisher(t, s, PublisherOptions{Source: "bidder-1"})
	for i, before := range []time.Duration{20 * time.Minute, 2 * time.Hour} {
		e := eventNo(i)
		e.Time = midnight.Add(-before).UnixMilli()
		if err := p.PublishDurable(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := RebuildSpend(ctx, s, "", midnight.Add(10*time.Minute), ledger)
	if err != nil || got.Bookings != 1 {
		t.Fatalf("%+v, %v: want the bill of 20 minutes before midnight", got, err)
	}
	recent := eventNo(0)
	if ledger.Book(recent.Campaign, recent.Key, recent.Price, midnight.Add(11*time.Minute)) {
		t.Error("the same bill, told again after midnight, was booked twice")
	}
	if spent := ledger.Spent(recent.Campaign, auction.DayOf(midnight)); spent != 0 {
		t.Errorf("today is charged %d for yesterday's bill", spent)
	}
}
