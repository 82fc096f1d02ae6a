// Package outlet is where the events of a process that serves go: a stream that it connects to or embeds, and the publisher
// before it.
package outlet

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events/publish"
	"gavel/internal/process"
	"gavel/internal/stream/nats"
)

const (
	upTimeout    = 15 * time.Second // until the stream answers at the start
	flushTimeout = 10 * time.Second // at the stop, for events that are not in the stream yet
	closeTimeout = 10 * time.Second // at the stop, for connections and the embedded stream
)

// Options say what an outlet is for. All are required.
type Options struct {
	Settings
	Source     string // the name of the process, in its events
	StateDir   string // holds the events that the stream does not take, in events.spill
	Parts      *process.Parts
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Outlet is a stream and the publisher to it. Both are ready for concurrent use.
type Outlet struct {
	Stream    *nats.Stream
	Publisher *publish.Publisher
	settings  Settings
}

// Open connects to the stream, or embeds one, and starts the publisher. It does not wait until the stream answers. Parts stops
// both: the publisher's events are flushed first.
func Open(o Options) (*Outlet, error) {
	out := &Outlet{settings: o.Settings}
	connection := nats.Options{
		URL: o.URL, TokenFile: o.TokenFile, Name: o.Source, MaxAge: o.MaxAge, MaxBytes: o.MaxBytes, Logger: o.Log,
	}
	var err error
	if o.URL == "" {
		if connection.Embedded, err = embed(&o); err != nil {
			return nil, err
		}
	}
	if out.Stream, err = nats.Connect(connection); err != nil {
		return nil, fmt.Errorf("%w (events.url, events.token_file)", err)
	}
	o.Parts.OnStop("stream", closeTimeout, func(context.Context) error { out.Stream.Close(); return nil })
	out.Publisher, err = publish.New(publish.Options{
		Stream: out.Stream, Source: o.Source, Logger: o.Log, Registerer: o.Registerer,
		SpillFile: filepath.Join(o.StateDir, "events.spill"), SpillMaxBytes: o.SpillMaxBytes,
	})
	if err != nil {
		return nil, err
	}
	o.Parts.OnStop("events", flushTimeout, out.Publisher.Close)
	return out, nil
}

// embed starts a stream in this process.
func embed(o *Options) (*nats.Embedded, error) {
	host, port, err := process.SplitPort(o.EmbeddedListen)
	if err != nil {
		return nil, err
	}
	server, err := nats.StartEmbedded(nats.EmbedOptions{
		Dir: o.EmbeddedDir, Host: host, Port: port, TokenFile: o.TokenFile, SyncAlways: o.SyncAlways, Logger: o.Log,
		MaxStoreBytes: 2 * o.MaxBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("%w (events.embedded_listen %s, events.embedded_dir %s: does another process use them?)", err, o.EmbeddedListen, o.EmbeddedDir)
	}
	o.Parts.OnStop("embedded stream", closeTimeout, func(context.Context) error { server.Close(); return nil })
	return server, nil
}

// WaitUp waits until the stream answers, for 15 s at most. The error of an outside stream names the settings to check.
func (out *Outlet) WaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	err := out.Stream.WaitUp(ctx)
	if err == nil {
		return nil
	}
	if u, bad := url.Parse(out.settings.URL); bad == nil && u.Host != "" {
		return fmt.Errorf("%w (events.url %s: does it run, and is its token in %s?)", err, u.Redacted(), out.settings.TokenFile)
	}
	return err
}
