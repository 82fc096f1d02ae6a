package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"gavel/internal/events/erase"
	"gavel/internal/process"
	"gavel/internal/stream/nats"
)

// eraseCommand are the flags of `bidder erase`.
type eraseCommand struct {
	configFlag
	IDs []string `arg:"" name:"id" help:"What is known of the user: user.id, user.buyeruid, an IP address. Each is compared whole."`
}

// run erases a user from the stream that the configuration names. The bidder that embeds it must be running.
func (c *eraseCommand) run(ctx context.Context, stdout io.Writer) error {
	config, err := LoadConfig(c.Config)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	e := config.Events
	url := e.URL
	if url == "" {
		host, port, err := process.SplitPort(e.EmbeddedListen)
		if err != nil {
			return err
		}
		url = "nats://" + net.JoinHostPort(host, strconv.Itoa(port))
	}
	stream, err := nats.Connect(nats.Options{URL: url, TokenFile: e.TokenFile, Name: "erase", MaxAge: e.MaxAge, MaxBytes: e.MaxBytes})
	if err != nil {
		return fmt.Errorf("bidder: cannot reach the stream: %w (events.url, events.token_file)", err)
	}
	defer stream.Close()
	up, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := stream.WaitUp(up); err != nil {
		return fmt.Errorf("bidder: the stream at %s does not answer: %w (does the bidder run?)", url, err)
	}
	report, err := erase.User(ctx, stream, c.IDs)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d messages read; %d bids of the user erased, in %d messages\n", report.Read, report.Bids, report.Messages)
	if journal, absent := os.Stat(filepath.Join(config.StateDir, "events.spill")); absent == nil && journal.Size() > 0 && err == nil {
		_, err = fmt.Fprintln(stdout, "the journal holds events that the stream has not taken yet: run this again when it is empty")
	}
	return err
}
