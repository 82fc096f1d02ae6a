package spend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/publish"
	"gavel/internal/events/spend"
	"gavel/internal/stream"
	"gavel/internal/stream/memory"
	"gavel/internal/stream/nats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func publisher(t *testing.T, s stream.Stream, o publish.Options) *publish.Publisher {
	t.Helper()
	o.Stream, o.Tick, o.Registerer = s, -1, prometheus.NewRegistry()
	if o.SpillFile == "" {
		o.SpillFile = filepath.Join(t.TempDir(), "spill")
	}
	p, err := publish.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, p) })
	return p
}

func closed(t *testing.T, p *publish.Publisher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// bill is the i-th bill, of 1 for campaign c.
func bill(i int, at time.Time) *events.Event {
	id := fmt.Sprintf("%06d", i)
	return &events.Event{ID: events.EventID(events.TypeBilling, id), Type: events.TypeBilling, Key: id, Time: at.UnixMilli(), Campaign: "c", Price: 1}
}

func newLedger(t *testing.T) *auction.Ledger {
	t.Helper()
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// Spend is the same whatever carries the events.
func TestRebuild(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testRebuild(t, memory.New(nil)) })
	t.Run("nats", func(t *testing.T) {
		server, err := nats.StartEmbedded(nats.EmbedOptions{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		s, err := nats.Connect(nats.Options{Embedded: server})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		testRebuild(t, s)
	})
}

func testRebuild(t *testing.T, s stream.Stream) {
	ctx := within(t, 20*time.Second)
	ledger := newLedger(t)
	now := time.Now()
	if got, err := spend.Rebuild(ctx, s, "", now, 3*time.Hour, ledger, quiet); err != nil || got.Bookings != 0 {
		t.Fatalf("an empty stream: %+v, %v", got, err)
	}
	for _, source := range []string{"bidder-1", "bidder-2"} {
		p := publisher(t, s, publish.Options{Source: source})
		for i := range 100 {
			e := bill(i, now)
			e.Key = source + e.Key
			e.ID = events.EventID(events.TypeBilling, e.Key)
			for range 1 + i%2 { // some twice
				if err := p.Publish(e); err != nil {
					t.Fatal(err)
				}
			}
			e.Type = events.TypeWin
			if err := p.Publish(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.PublishDurable(ctx, bill(999, now.Add(-24*time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	day := auction.DayOf(now)
	ledger.Book("c", "bidder-1"+"000003", 1, now) // known already
	got, err := spend.Rebuild(ctx, s, "bidder-1", now, 3*time.Hour, ledger, quiet)
	if err != nil || got.Bookings != 99 || got.Repeats != 51 || ledger.Spent("c", day) != 100 {
		t.Errorf("%+v, spent %d, %v", got, ledger.Spent("c", day), err)
	}
	if got, err = spend.Rebuild(ctx, s, "", now, 3*time.Hour, ledger, quiet); err != nil || got.Bookings != 100 || ledger.Spent("c", day) != 200 {
		t.Errorf("%+v, spent %d, %v", got, ledger.Spent("c", day), err)
	}
	spent, err := spend.Of(ctx, s, "bidder-2", day, quiet)
	if err != nil || spent["c"] != 100 || len(spent) != 1 {
		t.Errorf("%v, %v", spent, err)
	}
}

// Bills that were in the journal when a process died are spend too: the next one waits for them before it counts.
func TestWaitCaughtUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "spill")
	s := memory.New(nil)
	s.SetUp(false)
	const bills = 500
	now := time.Now()
	p := publisher(t, s, publish.Options{Source: "bidder-1", SpillFile: file, BatchEvents: 1})
	for i := range bills {
		if err := p.Publish(bill(i, now)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, p)
	p = publisher(t, s, publish.Options{Source: "bidder-1", SpillFile: file})
	if err := p.WaitCaughtUp(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), file) {
		t.Fatalf("with the stream away: %v", err)
	}
	s.SetUp(true)
	if err := p.WaitCaughtUp(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := spend.Rebuild(within(t, 20*time.Second), s, "bidder-1", now, 3*time.Hour, newLedger(t), quiet)
	if err != nil || got.Bookings != bills || got.Spend != bills {
		t.Fatalf("restored %+v, %v, want %d bookings of 1", got, err, bills)
	}
}

// Bills are taken for hours after the bid: just after midnight, yesterday's last ids must be known.
func TestRebuildAfterMidnight(t *testing.T) {
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	s := memory.New(nil)
	p := publisher(t, s, publish.Options{Source: "bidder-1"})
	for i, before := range []time.Duration{20 * time.Minute, 4 * time.Hour} {
		if err := p.PublishDurable(within(t, 20*time.Second), bill(i, midnight.Add(-before))); err != nil {
			t.Fatal(err)
		}
	}
	ledger := newLedger(t)
	got, err := spend.Rebuild(t.Context(), s, "", midnight.Add(10*time.Minute), 3*time.Hour, ledger, quiet)
	if err != nil || got.Bookings != 1 {
		t.Fatalf("%+v, %v: want the bill of 20 minutes before midnight", got, err)
	}
	e := bill(0, midnight)
	if _, counted := ledger.Book(e.Campaign, e.Key, e.Price, midnight.Add(-20*time.Minute)); counted {
		t.Error("the same bill, told again after midnight, was booked twice")
	}
	if spent := ledger.Spent("c", auction.DayOf(midnight)); spent != 0 {
		t.Errorf("today is charged %d for yesterday's bill", spent)
	}
}

// A bill is spend of the day of its bid, and the largest of several counts: in the ledger and for a dead bidder alike.
func TestDayOfTheBid(t *testing.T) {
	midnight := time.Now().UTC().Truncate(24 * time.Hour)
	s := memory.New(nil)
	p := publisher(t, s, publish.Options{Source: "bidder-1"})
	f := func(i int, price auction.Micros, bid, told time.Duration) {
		e := bill(i, midnight.Add(told))
		e.Price, e.BidTime = price, midnight.Add(bid).UnixMilli()
		if err := p.PublishDurable(within(t, 20*time.Second), e); err != nil {
			t.Fatal(err)
		}
	}
	f(1, 100, -time.Second, time.Second)
	f(2, 0, -3*time.Hour, -2*time.Hour)
	f(2, 20, -3*time.Hour, time.Second)
	f(2, 5, -3*time.Hour, 2*time.Second)
	f(3, 7, time.Second, 2*time.Second)
	ledger := newLedger(t)
	if _, err := spend.Rebuild(t.Context(), s, "", midnight.Add(time.Minute), 3*time.Hour, ledger, quiet); err != nil {
		t.Fatal(err)
	}
	for day, want := range map[auction.Day]auction.Micros{auction.DayOf(midnight) - 1: 120, auction.DayOf(midnight): 7} {
		dead, err := spend.Of(t.Context(), s, "bidder-1", day, quiet)
		if got := ledger.Spent("c", day); got != want || dead["c"] != want || err != nil {
			t.Errorf("%v: the ledger has %d, a dead bidder %d (%v), want %d", day, got, dead["c"], err, want)
		}
	}
}

// Damage and gaps are told, and hide nothing else.
func TestRebuildDamaged(t *testing.T) {
	s := memory.New(nil)
	now := time.Now()
	for i := range 4 {
		data := codec.Encode([]events.Event{*bill(i, now), *bill(100+i, now)})
		if i == 2 {
			data = data[:len(data)-1]
		}
		if _, err := s.Publish(t.Context(), []stream.Message{{ID: fmt.Sprint(i), Source: "b", Data: data}}); err != nil {
			t.Fatal(err)
		}
	}
	s.Remove(stream.CursorAt(2))
	var log bytes.Buffer
	got, err := spend.Rebuild(t.Context(), s, "b", now, 3*time.Hour, newLedger(t), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || got.Messages != 3 || got.Bookings != 5 || got.Lost != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := strings.Count(log.String(), "message damaged"); n != 1 {
		t.Errorf("damage told %d times:\n%s", n, &log)
	}
}
