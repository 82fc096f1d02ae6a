package nats

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gavel/internal/files"
)

// EmbedOptions configures the embedded server.
type EmbedOptions struct {
	Dir  string // the store; created, mode 0700
	Host string // "": 127.0.0.1. Beyond loopback use a TLS proxy, since the server does not encrypt
	Port int    // 0: any free port
	// TokenFile holds the token that clients must send, "": Dir/token. If absent, it is created with a random token, mode 0600.
	TokenFile string
	// MaxStoreBytes bounds the store on disk, streams and budgets together. 0: 8 GiB.
	MaxStoreBytes int64
	// SyncAlways syncs every message to disk before it is acknowledged. Then a power failure loses no acknowledged message,
	// but throughput falls from tens of thousands of messages a second to some 2,000. Without SyncAlways the store is synced
	// every SyncInterval (0: 10 s): acknowledged messages survive a crash of the process, but not of the machine.
	SyncAlways   bool
	SyncInterval time.Duration
	Logger       *slog.Logger // nil: none
}

const jetStreamMemory = 64 << 20 // bytes of consumers' state; the streams are on disk

// Embedded is a NATS server with JetStream in this process.
type Embedded struct {
	server    *server.Server
	tokenFile string
	lock      *os.File
	log       *slog.Logger // nil: none
	closing   chan struct{}
	done      chan struct{} // closed when reviveLoop has ended
	once      sync.Once
}

// reviveEvery is how often reviveLoop looks whether the server stores messages.
const reviveEvery = time.Second

// StartEmbedded starts the server and waits until it accepts connections. It fails if another process uses the store, the
// port is in use, or the store cannot be used.
func StartEmbedded(o EmbedOptions) (_ *Embedded, err error) {
	if o.Dir == "" {
		return nil, errors.New("nats: cannot start the embedded stream: no store directory (Dir)")
	}
	fail := func(err error) (*Embedded, error) {
		return nil, fmt.Errorf("nats: cannot start the embedded stream in %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := files.Lock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	tokenFile := cmp.Or(o.TokenFile, filepath.Join(o.Dir, "token"))
	token, err := ensureToken(tokenFile)
	if err != nil {
		return fail(err)
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	logs := &serverLog{log: o.Logger, fatal: make(chan string, 1)}
	s, err := server.NewServer(&server.Options{
		ServerName:            "gavel",
		Host:                  cmp.Or(o.Host, "127.0.0.1"),
		Port:                  o.Port,
		Authorization:         token,
		JetStream:             true,
		StoreDir:              o.Dir,
		JetStreamMaxMemory:    jetStreamMemory,
		JetStreamMaxStore:     cmp.Or(o.MaxStoreBytes, 8<<30),
		SyncAlways:            o.SyncAlways,
		SyncInterval:          cmp.Or(o.SyncInterval, 10*time.Second),
		MaxPayload:            maxMessage,
		NoSigs:                true,
		DisableShortFirstPing: true,
	})
	if err != nil {
		return fail(err)
	}
	s.SetLoggerV2(logs, false, false, false)
	go s.Start() // ends with Shutdown
	why := ""
	for begun := time.Now(); why == "" && !s.ReadyForConnections(100*time.Millisecond); {
		select {
		case why = <-logs.fatal:
		default:
			if time.Since(begun) > 15*time.Second {
				why = "it was not ready within 15 s"
			}
		}
	}
	if why != "" {
		s.Shutdown()
		s.WaitForShutdown()
		return fail(errors.New(why))
	}
	e := &Embedded{server: s, tokenFile: tokenFile, lock: lock, log: o.Logger, closing: make(chan struct{}), done: make(chan struct{})}
	go e.reviveLoop(server.JetStreamConfig{
		MaxMemory: jetStreamMemory, MaxStore: cmp.Or(o.MaxStoreBytes, 8<<30), StoreDir: o.Dir,
		SyncAlways: o.SyncAlways, SyncInterval: cmp.Or(o.SyncInterval, 10*time.Second),
	})
	return e, nil
}

// reviveLoop enables JetStream again when the server has disabled it, as it does when the disk is full. It ends with Close.
func (e *Embedded) reviveLoop(config server.JetStreamConfig) {
	defer close(e.done)
	ticks := time.NewTicker(reviveEvery)
	defer ticks.Stop()
	failed := false
	for {
		select {
		case <-e.closing:
			return
		case <-ticks.C:
		}
		if e.server.JetStreamEnabled() {
			failed = false
			continue
		}
		own := config
		err := e.server.EnableJetStream(&own)
		switch {
		case e.log == nil:
		case err == nil:
			e.log.Info("the embedded stream's store is open again", "dir", config.StoreDir)
		case !failed:
			e.log.Error("the embedded stream cannot open its store again; it is tried every second", "error", err, "dir", config.StoreDir)
		}
		failed = err != nil
	}
}

// URL is the address for clients, without the token.
func (e *Embedded) URL() string { return e.server.ClientURL() }

// TokenFile is the path of the token.
func (e *Embedded) TokenFile() string { return e.tokenFile }

// Close writes the store to disk and stops the server. Close connections first.
func (e *Embedded) Close() {
	e.once.Do(func() {
		close(e.closing)
		<-e.done
		e.server.Shutdown()
		e.server.WaitForShutdown()
		e.lock.Close()
	})
}

// ensureToken reads the token at path, or creates one.
func ensureToken(path string) (string, error) {
	text, err := files.ReadSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = files.WriteSecret(path, []byte(hex.EncodeToString(files.RandomKey())+"\n"), true)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		text, err = files.ReadSecret(path)
	}
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("the token in %s has %d characters, want 16 or more", path, len(token))
	}
	return token, nil
}

// serverLog forwards the server's log. The server's notices are logged at Debug.
type serverLog struct {
	log   *slog.Logger
	fatal chan string // capacity 1: the first is the cause
}

func (l *serverLog) write(f func(string, ...any), format string, v []any) {
	f("nats: " + fmt.Sprintf(format, v...))
}
func (l *serverLog) Noticef(format string, v ...any) {
	if l.log != nil {
		l.write(l.log.Debug, format, v)
	}
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}
func (l *serverLog) Warnf(format string, v ...any) {
	if l.log != nil {
		l.write(l.log.Warn, format, v)
	}
}
func (l *serverLog) Errorf(format string, v ...any) {
	if l.log != nil {
		l.write(l.log.Error, format, v)
	}
}
func (l *serverLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
	l.Errorf(format, v...)
}
