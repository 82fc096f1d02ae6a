// Package nats implements package stream over NATS JetStream: a server embedded in this process, or an external one. Only
// this package imports NATS.
//
// The stream is JetStream's GAVEL, stored in files. When a bound on age or size is reached, the oldest messages are removed.
// A cursor is JetStream's sequence. An acknowledgement means that the server has the message. The message then survives a
// crash of the process, and with EmbedOptions.SyncAlways a crash of the machine. Repeated IDs are dropped for
// stream.DuplicateWindow. Readers are pull consumers without acknowledgements; the server removes a consumer at most a minute
// after its reader has ended. Buckets are JetStream's key-value buckets.
package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gavel/internal/files"
	"gavel/internal/stream"
)

// The names on the wire (docs/contracts.md).
const (
	StreamName  = "GAVEL"
	SubjectName = "gavel.events"

	sourceHeader = "Gavel-Source"
	maxMessage   = 1 << 20 // bytes of headers and data
)

// Options configures the connection, and how much the stream keeps.
type Options struct {
	// Embedded is the server in this process; nil: the one at URL.
	Embedded *Embedded
	URL      string // as in "nats://127.0.0.1:4222"
	// TokenFile holds the token for URL; only its owner may read it. Each attempt to connect reads it anew. "": none.
	TokenFile string
	Name      string // of this process, for the server's list of connections

	// The bounds of the stream. When one is reached, the oldest messages are removed, so that the bidder never stops because
	// the disk is full. Entry.Lost tells readers how many they lost. The bounds must hold the events of one day, because
	// today's spend is restored from them. 0: 7 days, 4 GiB, 1 replica.
	MaxAge   time.Duration
	MaxBytes int64
	Replicas int

	Logger *slog.Logger // nil: none
}

// Stream is a connection to the stream. It reconnects by itself, without limit. Safe for concurrent use.
type Stream struct {
	o    Options
	conn *natsgo.Conn
	js   jetstream.JetStream
	log  *slog.Logger

	mu     sync.Mutex    // guards what follows
	up     bool          // connected
	change chan struct{} // closed, and replaced, when up changes
	made   bool          // the stream exists with our bounds
}

// Connect returns a connection to the stream. A server that cannot be reached yet is not an error: until it can be reached,
// publishing fails and readers wait. A malformed URL or an unreadable token file is an error.
func Connect(o Options) (*Stream, error) {
	s := &Stream{o: o, log: o.Logger, change: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	opts := []natsgo.Option{
		natsgo.Name(cmp.Or(o.Name, "gavel")),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(200 * time.Millisecond),
		natsgo.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		natsgo.ReconnectBufSize(-1), // a message that cannot be sent fails, and its publisher keeps it
		natsgo.RetryOnFailedConnect(true),
		natsgo.Timeout(2 * time.Second),
		natsgo.PingInterval(5 * time.Second),
		natsgo.MaxPingsOutstanding(2),
		// These may be called before Connect has returned, so they use the connection they are given, not s.conn.
		natsgo.ConnectHandler(func(c *natsgo.Conn) { s.set(true, c, nil) }),
		natsgo.ReconnectHandler(func(c *natsgo.Conn) { s.set(true, c, nil) }),
		natsgo.DisconnectErrHandler(func(c *natsgo.Conn, err error) { s.set(false, c, err) }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
			s.log.Debug("stream connection", "error", err)
		}),
	}
	url, tokenFile := o.URL, o.TokenFile
	if o.Embedded != nil {
		url, tokenFile = o.Embedded.URL(), o.Embedded.TokenFile()
		opts = append(opts, natsgo.InProcessServer(o.Embedded.server))
	}
	if tokenFile != "" {
		token, err := readToken(tokenFile)
		if err != nil {
			return nil, fmt.Errorf("nats: cannot read the stream's token: %w", err)
		}
		// Each attempt reads the file anew, because tokens are rotated. A server that refuses one is asked again with the next.
		opts = append(opts, natsgo.IgnoreAuthErrorAbort(), natsgo.TokenHandler(func() string {
			if now, err := readToken(tokenFile); err == nil {
				token = now
			} else {
				s.log.Warn("the stream's token cannot be read; the last one is used", "error", err)
			}
			return token
		}))
	}
	conn, err := natsgo.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: cannot connect to the stream at %q: %w", url, err)
	}
	s.conn = conn
	s.js, err = jetstream.New(conn, jetstream.WithPublishAsyncTimeout(patience), jetstream.WithPublishAsyncMaxPending(1<<16))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("nats: cannot use JetStream: %w", err)
	}
	if conn.IsConnected() {
		s.set(true, conn, nil)
		if !conn.IsConnected() { // the connection was lost meanwhile; its handler may have run before this
			s.set(false, conn, nil)
		}
	}
	return s, nil
}

func readToken(file string) (string, error) {
	text, err := files.ReadSecret(file)
	return strings.TrimSpace(string(text)), err
}

// Close ends the connection. Close readers and publishers first.
func (s *Stream) Close() { s.conn.Close() }

// Up implements stream.Stream.
func (s *Stream) Up() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up, s.change
}

func (s *Stream) set(up bool, conn *natsgo.Conn, err error) {
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

// ensure creates the stream, or sets its bounds, once.
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
		MaxMsgSize:  maxMessage,
		Storage:     jetstream.FileStorage,
		Replicas:    max(s.o.Replicas, 1),
		Duplicates:  stream.DuplicateWindow,
		Compression: jetstream.NoCompression, // compressing a full block would stall the bidder
	})
	if err != nil {
		return fmt.Errorf("nats: cannot set up stream %s: %w", StreamName, err)
	}
	s.mu.Lock()
	s.made = true
	s.mu.Unlock()
	return nil
}

// forget makes the next use set the stream up again, because it may now be another server or another disk.
func (s *Stream) forget() {
	s.mu.Lock()
	s.made = false
	s.mu.Unlock()
}

// State implements stream.Stream.
func (s *Stream) State(ctx context.Context) (stream.State, error) {
	if err := s.ensure(ctx); err != nil {
		return stream.State{}, err
	}
	st, err := s.js.Stream(ctx, StreamName)
	if err != nil {
		return stream.State{}, fmt.Errorf("nats: cannot ask for the state of stream %s: %w", StreamName, err)
	}
	state := st.CachedInfo().State
	return stream.State{
		First: stream.CursorAt(state.FirstSeq), Last: stream.CursorAt(state.LastSeq), Messages: state.Msgs, LastTime: state.LastTime,
	}, nil
}

// WaitUp implements stream.Stream: the stream is connected and set up.
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
			return errors.Join(fmt.Errorf("%w: %w", stream.ErrAway, ctx.Err()), err)
		}
		retry.Stop()
	}
}
