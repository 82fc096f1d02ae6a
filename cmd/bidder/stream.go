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

func (b *bidder) startState(context.Context) (err error) {
	if err := os.MkdirAll(b.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("cannot make state_dir: %w", err)
	}
	b.keys, err = notices.OpenKeyring(filepath.Join(b.config.StateDir, "token.keys"))
	return err
}

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
		b.onStop("embedded stream", closeTimeout, func(context.Context) error { options.Embedded.Close(); return nil })
	}
	if b.stream, err = nats.Connect(options); err != nil {
		return fmt.Errorf("%w (events.url, events.token_file)", err)
	}
	b.onStop("stream", closeTimeout, func(context.Context) error { b.stream.Close(); return nil })
	b.publisher, err = publish.New(publish.Options{
		Stream: b.stream, Source: b.config.Name, Logger: b.log, Registerer: b.metrics,
		SpillFile: filepath.Join(b.config.StateDir, "events.spill"), SpillMaxBytes: c.SpillMaxBytes,
	})
	if err != nil {
		return err
	}
	b.onStop("events", flushTimeout, b.publisher.Close)
	return nil
}

func (b *bidder) startBudget(ctx context.Context) (err error) {
	b.ledger, err = auction.NewLedger(auction.LedgerOptions{
		Expiry: b.config.Budget.Reservation + billingSlack, MaxBooked: rememberBooked,
	})
	if err != nil {
		return err
	}
	b.booked = console.NewCountedLedger(b.ledger, b.metrics)
	up, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	if err := b.stream.WaitUp(up); err != nil {
		if u, bad := url.Parse(b.config.Events.URL); bad == nil && u.Host != "" {
			return fmt.Errorf("%w (events.url %s: does it run, and is its token in %s?)", err, u.Redacted(), b.config.Events.TokenFile)
		}
		return err
	}
	read, cancel := context.WithTimeout(ctx, spendTimeout)
	defer cancel()
	if err := b.publisher.WaitCaughtUp(read); err != nil {
		return err
	}
	rebuilt, err := spend.Rebuild(read, b.stream, b.config.Name, time.Now(), b.ledger, b.log)
	if err != nil {
		return err
	}
	if rebuilt.Bookings > 0 {
		b.log.Info("today's spend restored from the stream", "bookings", rebuilt.Bookings, "spend", rebuilt.Spend.String())
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
	b.onStop("budget leases", closeTimeout, b.leases.Close)
	return nil
}
