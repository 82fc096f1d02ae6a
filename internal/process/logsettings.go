package process

import (
	"fmt"
	"io"
	"log/slog"
)

// LogSettings are the keys of `log` in a configuration file.
type LogSettings struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Faults returns every fault of the settings, each with its key.
func (s *LogSettings) Faults() (faults []error) {
	if s.Format != "text" && s.Format != "json" {
		faults = append(faults, fmt.Errorf("log.format: %q is neither text nor json", s.Format))
	}
	if new(slog.Level).UnmarshalText([]byte(s.Level)) != nil {
		faults = append(faults, fmt.Errorf("log.level: %q is none of debug, info, warn, error", s.Level))
	}
	return faults
}

// Logger returns a logger that writes to w. The settings must be without faults.
func (s *LogSettings) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.Level))
	return NewLogger(level, s.Format, w)
}
