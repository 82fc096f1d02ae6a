package outlet

import (
	"fmt"
	"net/url"
	"time"

	"gavel/internal/process"
	"gavel/internal/stream"
)

// Settings are the keys of `events` in the configuration of a process that serves. docs/configuration.md describes them.
type Settings struct {
	URL            string        `yaml:"url"` // "": the process embeds a stream
	EmbeddedListen string        `yaml:"embedded_listen"`
	EmbeddedDir    string        `yaml:"embedded_dir"`
	TokenFile      string        `yaml:"token_file"`
	MaxBytes       int64         `yaml:"max_bytes"`
	MaxAge         time.Duration `yaml:"max_age"`
	SyncAlways     bool          `yaml:"sync_always"`
	SpillMaxBytes  int64         `yaml:"spill_max_bytes"`
}

// Defaults returns the settings of an empty file, for a stream that is embedded at listen with its files in dir, and with its
// token in the file dir.token.
func Defaults(listen, dir string) Settings {
	return Settings{
		EmbeddedListen: listen, EmbeddedDir: dir, TokenFile: dir + ".token",
		MaxBytes: 4 << 30, MaxAge: 72 * time.Hour, SpillMaxBytes: 256 << 20,
	}
}

// The least bounds. The stream's store also holds the bucket of budget leases, which reserves minBytes of it (package leases).
// The journal must hold a few batches (package publish).
const (
	minBytes      = 256 << 20
	minSpillBytes = 1 << 20
)

// Faults returns every fault of the settings, each with the key that it is under: events.url, say.
func (s *Settings) Faults() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("events."+format, args...)) }
	if s.URL == "" {
		if _, _, err := process.SplitPort(s.EmbeddedListen); err != nil {
			fault("embedded_listen: %q is not host:port; write 127.0.0.1:4222, say", s.EmbeddedListen)
		}
	} else if u, err := url.Parse(s.URL); err != nil || u.Host == "" {
		fault("url: %q is not a URL; write nats://stream.internal:4222, say", s.URL)
	}
	for key, value := range map[string]string{"token_file": s.TokenFile, "embedded_dir": s.EmbeddedDir} {
		if value == "" {
			fault("%s: is empty; set it", key)
		}
	}
	if s.MaxAge < stream.DuplicateWindow { // JetStream refuses less
		fault("max_age: %v must be at least %v", s.MaxAge, stream.DuplicateWindow)
	}
	for _, f := range []struct {
		key          string
		value, least int64
	}{{"max_bytes", s.MaxBytes, minBytes}, {"spill_max_bytes", s.SpillMaxBytes, minSpillBytes}} {
		if f.value < f.least {
			fault("%s: %d must be at least %d", f.key, f.value, f.least)
		}
	}
	return faults
}
