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

// EmbedOptions set the embedded server up.
type EmbedOptions struct {
	Dir  string // the store; created, mode 0700
	Host string // "": 127.0.0.1. Beyond loopback put a TLS proxy before it: the server itself speaks plain text
	Port int    // 0: any free port
	// TokenFile holds the token that clients must show, "": Dir/token. Created with a random one, mode 0600.
	TokenFile string
	// MaxStoreBytes bounds the store on disk, streams and budgets together. 0: 8 GiB.
	MaxStoreBytes int64
	// SyncAlways syncs every message to disk before it is acknowledged: 2,000 to 2,500 messages (some 100 events each) a
	// second in place of tens of thousands, and nothing acknowledged is lost when the power fails. Without it the store
	// is synced every SyncInterval (0: 10 s); what is acknowledged survives the end of the process, not of the machine.
	SyncAlways   bool
	SyncInterval time.Duration
	Logger       *slog.Logger // nil: none
}

// Embedded is a NATS server with JetStream in this process.
type Embedded struct {
	server    *server.Server
	tokenFile string
	lock      *os.File
	once      sync.Once
}

// StartEmbedded starts the server and waits until it takes connections. It fails if another process uses the same
// store, the port is taken, or the store cannot be used.
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
		JetStreamMaxMemory:    64 << 20, // consumers' state; the streams are on disk
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
	return &Embedded{server: s, tokenFile: tokenFile, lock: lock}, nil
}

// URL is where clients connect, without the token.
func (e *Embedded) URL() string { return e.server.ClientURL() }

// TokenFile is where the token lies.
func (e *Embedded) TokenFile() string { return e.tokenFile }

// Close stops the server once its store is on disk. Close connections first.
func (e *Embedded) Close() {
	e.once.Do(func() {
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

// serverLog passes the server's log on, at levels of ours: its notices are of interest to who debugs it.
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
