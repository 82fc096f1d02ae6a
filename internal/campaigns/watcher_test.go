package campaigns

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/auction"
)

// logLines is a log whose lines a test can wait for.
type logLines struct {
	mu    sync.Mutex
	text  bytes.Buffer
	added chan struct{}
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	select {
	case l.added <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (l *logLines) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		all := l.text.String()
		l.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-l.added:
		case <-deadline:
			t.Fatalf("no line with %q in\n%s", text, all)
		}
	}
}

// metric reads the series with these label values.
func metric(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if family.GetName() == name && slices.Equal(values, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no series %s%v", name, labels)
	return 0
}

func TestWatch(t *testing.T) {
	f := func(name string, poll, settle time.Duration) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			path := filepath.Join(t.TempDir(), "campaigns.yaml")
			write := func(text string) {
				t.Helper()
				aside := path + ".new"
				if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(aside, path); err != nil {
					t.Fatal(err)
				}
			}
			write(good)
			log := &logLines{added: make(chan struct{}, 1)}
			var loads []int
			registry := prometheus.NewRegistry()
			w, err := Open(Options{
				Path: path, Poll: poll, Settle: settle, Log: slog.New(slog.NewTextHandler(log, nil)),
				Registerer: registry,
				OnLoad:     func(s *auction.CampaignSet) { loads = append(loads, s.Len()) },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- w.Run(ctx) }()

			second := strings.ReplaceAll(strings.TrimPrefix(good, "currency: USD\ncampaigns:\n"), "shoes", "boots")
			write(good + second)
			log.await(t, "campaigns=2 before=1")
			served := w.Set()
			write(strings.Replace(good, "cpc", "cpx", 1))
			log.await(t, "field cpx not found")
			if w.Set() != served {
				t.Error("a refused file changed the set that serves")
			}
			if got := metric(t, registry, "gavel_campaigns_file_refused"); got != 1 {
				t.Errorf("file_refused is %v", got)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			log.await(t, "cannot be read")
			write(good)
			log.await(t, "campaigns=1 before=2")

			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if len(loads) != 3 || w.Set().Len() != 1 {
				t.Errorf("loads %v, serving %d", loads, w.Set().Len())
			}
			for result, want := range map[string]float64{"loaded": 2, "refused": 1, "unreadable": 1} {
				if got := metric(t, registry, "gavel_campaigns_reloads_total", result); got != want {
					t.Errorf("%s: %v reloads, want %v", result, got, want)
				}
			}
			if got := metric(t, registry, "gavel_campaigns_file_refused"); got != 0 {
				t.Errorf("file_refused is %v", got)
			}
		})
	}
	f("by notification", time.Hour, 10*time.Millisecond)
	f("by polling", 10*time.Millisecond, time.Hour)
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open(Options{Path: filepath.Join(t.TempDir(), "none.yaml"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("no options: no error")
	}
}
