package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The names on the wire (docs/contracts.md).
const (
	StreamName  = "GAVEL"
	SubjectName = "gavel.events"

	sourceHeader    = "Gavel-Source"
	maxMessageBytes = 1 << 20
)

// StreamOptions say where the stream is and what it keeps.
type StreamOptions struct {
	// Embedded is the server in this process; nil: the one at URL.
	Embedded *Embedded
	URL      string // as in "nats://127.0.0.1:4222"
	// TokenFile holds the token to show at URL, readable by its owner alone; "": none.
	TokenFile string
	Name      string // of this process, for the server's own listings

	// The bounds of the stream. When one is reached the oldest messages are discarded: what is said now counts more
	// than what was said then, a reader that fell behind is told how much it lost, and the bidder never stops for a full
	// disk. Spend of today must fit: it is restored from here. 0: 7 days, 4 GiB, 1 replica.
	MaxAge   time.Duration
	MaxBytes int64
	Replicas int

	Logger *slog.Logger // nil: none
}

// Stream is a connection to the stream. It connects by itself again, for ever. Safe for concurrent use.
type Stream struct {
	o    StreamOptions
	conn *nats.Conn
	js   jetstream.JetStream
	log  *slog.Logger

	mu     sync.Mutex    // guards what follows
	up     bool          // connected
	change chan struct{} // closed, and replaced, when up changes
	made   bool          // the stream exists with our bounds
}

// Connect returns a connection to the stream. A server that cannot be reached yet is no error: a Publisher spills until
// it can be, readers wait. A URL that is none, or a token file that cannot be read, is.
func Connect(o StreamOptions) (*Stream, error) {
	s := &Stream{o: o, log: o.Logger, change: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	opts := []nats.Option{
		nats.Name(cmp.Or(o.Name, "gavel")),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.ReconnectBufSize(-1), // what cannot be sent is spilled, not buffered
		nats.RetryOnFailedConnect(true),
		nats.Timeout(2 * time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		// These may be called before Connect has returned, so they use the connection they are given, not s.conn.
		nats.ConnectHandler(func(c *nats.Conn) { s.set(true, c, nil) }),
		nats.ReconnectHandler(func(c *nats.Conn) { s.set(true, c, nil) }),
		nats.DisconnectErrHandler(func(c *nats.Conn, err error) { s.set(false, c, err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.log.Debug("stream connection", "error", err)
		}),
	}
	url, tokenFile := o.URL, o.TokenFile
	if o.Embedded != nil {
		url, tokenFile = o.Embedded.URL(), o.Embedded.TokenFile()
		opts = append(opts, nats.InProcessServer(o.Embedded.server))
	}
	if tokenFile != "" {
		text, err := readSecret(tokenFile)
		if err != nil {
			return nil, fmt.Errorf("events: cannot read the stream's token: %w", err)
		}
		opts = append(opts, nats.Token(strings.TrimSpace(string(text))))
	}
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("events: cannot connect to the stream at %q: %w (events.url)", url, err)
	}
	s.conn = conn
	s.js, err = jetstream.New(conn, jetstream.WithPublishAsyncTimeout(ackWait), jetstream.WithPublishAsyncMaxPending(1<<16))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("events: cannot use JetStream: %w", err)
	}
	if conn.IsConnected() {
		s.set(true, conn, nil)
		if !conn.IsConnected() { // lost in between: its handler may have run before
			s.set(false, conn, nil)
		}
	}
	return s, nil
}

// JetStream is the connection for who keeps something else there, as leases do.
func (s *Stream) JetStream() jetstream.JetStream { return s.js }

// Close ends the connection. Close publishers and readers first.
func (s *Stream) Close() { s.conn.Close() }

// Up says whether the stream is connected, and gives a channel that is closed when that changes.
func (s *Stream) Up() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up, s.change
}

func (s *Stream) set(up bool, conn *nats.Conn, err error) {
	s.mu.Lock()
	if s.up == up {
		s.mu.Unlock()
		return
	}
	s.up = up
	close(s.change)
	s.change = make(chan struct{})
	s.mu.Unlock()
	switch {
	case up:
		s.log.Info("stream connected", "url", conn.ConnectedUrlRedacted())
	case err != nil:
		s.log.Warn("stream connection lost, trying again until it is back", "error", err)
	}
}

// ensure creates the stream, or gives it our bounds, once.
func (s *Stream) ensure(ctx context.Context) error {
	s.mu.Lock()
	made := s.made
	s.mu.Unlock()
	if made {
		return nil
	}
	_, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        StreamName,
		Description: "what happened to every bid of Gavel",
		Subjects:    []string{SubjectName},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      cmp.Or(s.o.MaxAge, 7*24*time.Hour),
		MaxBytes:    cmp.Or(s.o.MaxBytes, 4<<30),
		MaxMsgSize:  maxMessageBytes,
		Storage:     jetstream.FileStorage,
		Replicas:    max(s.o.Replicas, 1),
		Duplicates:  2 * time.Minute,
		Compression: jetstream.NoCompression, // it would take both processors for 30 ms with each block that is full
	})
	if err != nil {
		return fmt.Errorf("events: cannot set up stream %s: %w", StreamName, err)
	}
	s.mu.Lock()
	s.made = true
	s.mu.Unlock()
	return nil
}

// forget has the stream set up again before its next use: it may be another server now, or another disk.
func (s *Stream) forget() {
	s.mu.Lock()
	s.made = false
	s.mu.Unlock()
}

// Bounds are the first and last sequence that the stream holds; last 0: it never held any.
func (s *Stream) Bounds(ctx context.Context) (first, last uint64, err error) {
	if err := s.ensure(ctx); err != nil {
		return 0, 0, err
	}
	st, err := s.js.Stream(ctx, StreamName)
	if err != nil {
		return 0, 0, fmt.Errorf("events: cannot look at stream %s: %w", StreamName, err)
	}
	state := st.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// WaitUp waits until the stream is connected and set up, or ctx ends.
func (s *Stream) WaitUp(ctx context.Context) error {
	for {
		up, change := s.Up()
		var err error
		if up {
			if err = s.ensure(ctx); err == nil {
				return nil
			}
		}
		retry := time.NewTimer(time.Second)
		select {
		case <-change:
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return errors.Join(fmt.Errorf("events: the stream is away: %w", ctx.Err()), err)
		}
		retry.Stop()
	}
}
