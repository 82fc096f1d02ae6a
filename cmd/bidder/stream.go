package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gavel/internal/auction"
	"gavel/internal/console"
	"gavel/internal/events/notices"
	"gavel/internal/events/outlet"
	"gavel/internal/events/spend"
	"gavel/internal/leases"
)

const (
	spendTimeout = 5 * time.Minute // to read today's spend from the stream: at worst, the events of a whole day

	// billingSlack is how long the money of a bid stays reserved after the bid's exp. A billing notice that was sent at
	// the last moment still finds it reserved then.
	billingSlack = 10 * time.Second
	// rememberBooked is how many billed bids the ledger remembers, so that a repeated billing notice counts once. Notices
	// are taken for sellers.DefaultNoticeTime; this is enough for 190 of them a second. Each takes some 90 bytes.
	rememberBooked = 1 << 21
)

// startState opens the state directory and the keys of notice tokens.
func (b *bidder) startState(context.Context) (err error) {
	if err := os.MkdirAll(b.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("cannot make state_dir: %w", err)
	}
	b.keys, err = notices.OpenKeyring(filepath.Join(b.config.StateDir, "token.keys"))
	return err
}

// startStream connects to the stream, or embeds one, and starts the publisher of events.
func (b *bidder) startStream(context.Context) (err error) {
	b.outlet, err = outlet.Open(outlet.Options{
		Settings: b.config.Events, Source: b.config.Name, StateDir: b.config.StateDir, Parts: b.parts, Log: b.log, Registerer: b.metrics,
	})
	return err
}

// startBudget makes the ledger, reads today's spend into it from the stream, and makes the leases.
func (b *bidder) startBudget(ctx context.Context) (err error) {
	b.ledger, err = auction.NewLedger(auction.LedgerOptions{
		Expiry: b.config.Budget.Reservation + billingSlack, MaxBooked: rememberBooked,
	})
	if err != nil {
		return err
	}
	b.booked = console.NewCountedLedger(b.ledger, b.metrics)
	if err := b.outlet.WaitUp(ctx); err != nil {
		return err
	}
	if err := b.restoreSpend(ctx); err != nil {
		return err
	}
	b.leases, err = leases.New(leases.Options{
		Buckets: b.outlet.Stream, Bidder: b.config.Name, Ledger: b.ledger, Share: b.config.Budget.LeaseShare,
		SpentOf: func(ctx context.Context, bidder string, day auction.Day) (map[string]auction.Micros, error) {
			return spend.Of(ctx, b.outlet.Stream, bidder, day, b.log)
		},
		Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	if err := b.leases.Claim(ctx); err != nil {
		return err
	}
	b.parts.OnStop("budget leases", closeTimeout, b.leases.Close)
	return nil
}

// restoreSpend books the spend of today into the ledger. It first waits for the events that the bidder's last run left in
// the journal, because the stream lacks their spend until then.
func (b *bidder) restoreSpend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, spendTimeout)
	defer cancel()
	if err := b.outlet.Publisher.WaitCaughtUp(ctx); err != nil {
		return err
	}
	rebuilt, err := spend.Rebuild(ctx, b.outlet.Stream, b.config.Name, time.Now(), b.sellers.LongestNoticeTime(), b.ledger, b.log)
	if err != nil {
		return err
	}
	if rebuilt.Bookings > 0 {
		b.log.Info("today's spend restored from the stream", "bookings", rebuilt.Bookings, "spend", rebuilt.Spend.String())
	}
	return nil
}
