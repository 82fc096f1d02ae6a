package process

import (
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w from level on. format is "json"; anything else means text.
func NewLogger(level slog.Level, format string, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
