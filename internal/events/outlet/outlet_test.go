package outlet

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/process"
	"gavel/internal/stream"
)

func TestFaults(t *testing.T) {
	s := Defaults("127.0.0.1:4222", "var/stream")
	if faults := s.Faults(); faults != nil {
		t.Errorf("the defaults have faults: %v", faults)
	}
	s = Settings{EmbeddedListen: ":nats"}
	var keys []string
	for _, fault := range s.Faults() {
		key, _, _ := strings.Cut(fault.Error(), ": ")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	want := []string{"events.embedded_dir", "events.embedded_listen", "events.max_age", "events.max_bytes", "events.spill_max_bytes", "events.token_file"}
	if !slices.Equal(keys, want) {
		t.Errorf("faults of %q, want of %q", keys, want)
	}
	s = Defaults("127.0.0.1:4222", "var/stream")
	if s.MaxBytes, s.SpillMaxBytes, s.MaxAge = minBytes-1, minSpillBytes-1, time.Minute; len(s.Faults()) != 3 {
		t.Errorf("too small: %v", s.Faults())
	}
	if s.MaxBytes, s.SpillMaxBytes, s.MaxAge = minBytes, minSpillBytes, stream.DuplicateWindow; len(s.Faults()) != 0 {
		t.Errorf("the least: %v", s.Faults())
	}
	s = Defaults("", "var/stream")
	s.URL = "stream:4222"
	if faults := s.Faults(); len(faults) != 1 || !strings.Contains(faults[0].Error(), `events.url: "stream:4222"`) {
		t.Errorf("%v", faults)
	}
}

func open(t *testing.T, dir string, change func(*Settings)) (*Outlet, *process.Parts, error) {
	t.Helper()
	s := Defaults("127.0.0.1:0", filepath.Join(dir, "stream"))
	if change != nil {
		change(&s)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	parts := process.NewParts("test", log)
	t.Cleanup(func() { _ = parts.Stop() })
	out, err := Open(Options{Settings: s, Source: "a", StateDir: dir, Parts: parts, Log: log, Registerer: prometheus.NewRegistry()})
	return out, parts, err
}

// An event published before the stop is in the embedded stream of the next start.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	out, parts, err := open(t, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.WaitUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := events.Event{ID: events.EventID(events.TypeClick, "k"), Type: events.TypeClick, Key: "k", Time: time.Now().UnixMilli()}
	if err := out.Publisher.Publish(&e); err != nil {
		t.Fatal(err)
	}
	if err := parts.Stop(); err != nil {
		t.Fatal(err)
	}
	out, _, err = open(t, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := out.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	r, err := out.Stream.Open(ctx, stream.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		entry, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		m := codec.Read(entry)
		if slices.ContainsFunc(m.Events, func(got events.Event) bool { return got.ID == e.ID }) {
			return
		}
	}
}

// The error of a stream that does not answer names the settings to check.
func TestNoStream(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stream.token"), []byte(strings.Repeat("t", 43)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := open(t, dir, func(s *Settings) { s.URL = "nats://127.0.0.1:1" })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := out.WaitUp(ctx); err == nil || !strings.Contains(err.Error(), "events.url nats://127.0.0.1:1: does it run") {
		t.Errorf("%v", err)
	}
}

// An embedded stream that another process uses is named with its settings.
func TestTaken(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := open(t, dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, dir, nil); err == nil || !strings.Contains(err.Error(), "events.embedded_dir") {
		t.Errorf("%v", err)
	}
}
