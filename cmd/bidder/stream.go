package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gavel/internal/auction"
	"gavel/internal/console"
	"gavel/internal/events/notices"
	"gavel/internal/events/publish"
	"gavel/internal/events/spend"
	"gavel/internal/leases"
	"gavel/internal/process"
	"gavel/internal/stream/nats"
)

const (
	streamTimeout = 15 * time.Second // until the stream answers
	spendTimeout  = 5 * time.Minute  // to read today's spend from the stream: at worst, the events of a whole day

	// billingSlack is how long the money of a bid stays reserved after the bid's exp. A billing notice that was sent at
	// the last moment still finds it reserved then.
	billingSlack = 10 * time.Second
	// rememberBooked is how many billed bids the ledger remembers, so that a repeated billing notice counts once. Notices
	// are valid for an hour; this is enough for 580 of them a second. Each takes some 90 bytes.
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
func (b *bidder) startStream(ctx context.Context) (err error) {
	c := b.config.Events
	options := nats.Options{
		URL: c.URL, TokenFile: c.TokenFile, Name: b.config.Name, MaxAge: c.MaxAge, MaxBytes: c.MaxBytes, Logger: b.log,
	}
	if c.URL == "" {
		host, port, err := process.SplitPort(c.EmbeddedListen)
		if err != nil {
			return err
		}
		options.Embedded, err = nats.StartEmbedded(nats.EmbedOptions{
			Dir: c.EmbeddedDir, Host: host, Port: port, TokenFile: c.TokenFile, SyncAlways: c.SyncAlways, Logger: b.log,
			MaxStoreBytes: 2 * c.MaxBytes,
		})
		if err != nil {
			return fmt.Errorf("%w (events.embedded_listen %s, events.embedded_dir %s: does another process use them?)", err, c.EmbeddedListen, c.EmbeddedDir)
		}
		b.parts.OnStop("embedded stream", closeTimeout, func(context.Context) error { options.Embedded.Close(); return nil })
	}
	if b.stream, err = nats.Connect(options); err != nil {
		return fmt.Errorf("%w (events.url, events.token_file)", err)
	}
	b.parts.OnStop("stream", closeTimeout, func(context.Context) error { b.stream.Close(); return nil })
	b.publisher, err = publish.New(publish.Options{
		Stream: b.stream, Source: b.config.Name, Logger: b.log, Registerer: b.metrics,
		SpillFile: filepath.Join(b.config.StateDir, "events.spill"), SpillMaxBytes: c.SpillMaxBytes,
	})
	if err != nil {
		return err
	}
	b.parts.OnStop("events", flushTimeout, b.publisher.Close)
	return nil
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
	if err := b.waitForStream(ctx); err != nil {
		return err
	}
	if err := b.restoreSpend(ctx); err != nil {
		return err
	}
	b.leases, err = leases.New(leases.Options{
		Buckets: b.stream, Bidder: b.config.Name, Ledger: b.ledger, Share: b.config.Budget.LeaseShare,
		SpentOf: func(ctx context.Context, bidder string, day auction.Day) (map[string]auction.Micros, error) {
			return spend.Of(ctx, b.stream, bidder, day, b.log)
		},
		Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	b.parts.OnStop("budget leases", closeTimeout, b.leases.Close)
	return nil
}

// waitForStream waits until the stream answers. The error of an outside stream names the settings to check.
func (b *bidder) waitForStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	err := b.stream.WaitUp(ctx)
	if err == nil {
		return nil
	}
	if u, bad := url.Parse(b.config.Events.URL); bad == nil && u.Host != "" {
		return fmt.Errorf("%w (events.url %s: does it run, and is its token in %s?)", err, u.Redacted(), b.config.Events.TokenFile)
	}
	return err
}

// restoreSpend books the spend of today into the ledger. It first waits for the events that the bidder's last run left in
// the journal, because the stream lacks their spend until then.
func (b *bidder) restoreSpend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, spendTimeout)
	defer cancel()
	if err := b.publisher.WaitCaughtUp(ctx); err != nil {
		return err
	}
	rebuilt, err := spend.Rebuild(ctx, b.stream, b.config.Name, time.Now(), b.ledger, b.log)
	if err != nil {
		return err
	}
	if rebuilt.Bookings > 0 {
		b.log.Info("today's spend restored from the stream", "bookings", rebuilt.Bookings, "spend", rebuilt.Spend.String())
	}
	return nil
}
