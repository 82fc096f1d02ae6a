package watch_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/campaigns/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// words is a set of one campaign a word. The word "fault" is one.
type words []string

func (w words) Len() int { return len(w) }

func parse(path string, data []byte) (words, error) {
	if bytes.Contains(data, []byte("fault")) {
		return nil, errors.New(path + " has a fault")
	}
	return strings.Fields(string(data)), nil
}

// lines is a log, a line an element. It drops lines that nobody waits for in time, but a test writes far fewer.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}

// world is a campaign file that is watched.
type world struct {
	t        *testing.T
	path     string
	watcher  *watch.Watcher[words]
	registry *prometheus.Registry
	loaded   chan words
	log      lines
}

func newWorld(t *testing.T, poll time.Duration) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "campaigns"), registry: prometheus.NewRegistry(), loaded: make(chan words, 100), log: make(lines, 1000)}
	w.put("one two")
	var err error
	w.watcher, err = watch.Open(watch.Options[words]{Path: w.path, Parse: parse, Poll: poll, Settle: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Registerer: w.registry, OnLoad: func(s words) { w.loaded <- s }})
	if err != nil {
		t.Fatal(err)
	}
	w.wantLoaded("one two")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.watcher.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// put writes the file aside and renames it into place.
func (w *world) put(text string) {
	w.t.Helper()
	if err := errors.Join(os.WriteFile(w.path+".new", []byte(text), 0o644), os.Rename(w.path+".new", w.path)); err != nil {
		w.t.Fatal(err)
	}
}

const patience = 30 * time.Second

func (w *world) wantLoaded(want string) {
	w.t.Helper()
	select {
	case s := <-w.loaded:
		if got := strings.Join(s, " "); got != want {
			w.t.Fatalf("loaded %q, want %q", got, want)
		}
		if got := strings.Join(w.watcher.Set(), " "); got != want {
			w.t.Fatalf("serves %q, want %q", got, want)
		}
	case <-time.After(patience):
		w.t.Fatalf("%q was not loaded", want)
	}
}

func (w *world) wantLine(part string) {
	w.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case line := <-w.log:
			if strings.Contains(line, part) {
				return
			}
		case <-limit:
			w.t.Fatalf("no line with %q", part)
		}
	}
}

// wantMetrics compares the gauges, and the counter's values: loaded, refused, unreadable.
func (w *world) wantMetrics(campaigns, refusedNow float64, reloads [3]float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	const of = "gavel_campaigns_reloads_total "
	for key, want := range map[string]float64{"gavel_campaigns": campaigns, "gavel_campaigns_file_refused": refusedNow,
		of + "loaded": reloads[0], of + "refused": reloads[1], of + "unreadable": reloads[2]} {
		if got[key] != want {
			w.t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

func TestFollowsNotifications(t *testing.T) {
	w := newWorld(t, time.Hour)
	w.put("one two three")
	w.wantLoaded("one two three")
	w.wantLine(`msg="campaigns loaded"`)
	w.put("fault")
	w.wantLine("campaign file refused; the old set stays in use")
	if got := w.watcher.Set().Len(); got != 3 {
		t.Errorf("%d campaigns serve, want the 3 before", got)
	}
	w.wantMetrics(3, 1, [3]float64{1, 1, 0})
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.wantLine("campaign file cannot be read; the old set stays in use")
	w.put("one two three") // the very set that serves: it is loaded again, since the file was away
	w.wantLoaded("one two three")
	w.wantLine(`msg="campaigns loaded"`)
	w.wantMetrics(3, 0, [3]float64{2, 1, 1})
}

// TestFollowsPolls is that a change is found without a notification: the file is a link, and what it points to changes elsewhere.
func TestFollowsPolls(t *testing.T) {
	w := newWorld(t, 5*time.Millisecond)
	other := filepath.Join(t.TempDir(), "elsewhere")
	if err := errors.Join(os.WriteFile(other, []byte("linked"), 0o644), os.Symlink(other, w.path+".link"), os.Rename(w.path+".link", w.path)); err != nil {
		t.Fatal(err)
	}
	w.wantLoaded("linked")
	if err := errors.Join(os.WriteFile(other+".new", []byte("changed there"), 0o644), os.Rename(other+".new", other)); err != nil {
		t.Fatal(err)
	}
	w.wantLoaded("changed there")
	// A fault is reported once, however often it is read.
	if err := errors.Join(os.WriteFile(other+".new", []byte("fault"), 0o644), os.Rename(other+".new", other)); err != nil {
		t.Fatal(err)
	}
	w.wantLine("campaign file refused")
	if err := errors.Join(os.WriteFile(other+".new", []byte("sound"), 0o644), os.Rename(other+".new", other)); err != nil {
		t.Fatal(err)
	}
	w.wantLoaded("sound")
	w.wantLine(`msg="campaigns loaded"`)
	w.wantMetrics(1, 0, [3]float64{3, 1, 0})
}

// TestFindsWhatChangedSinceOpen is that an edit between Open and Run is loaded, though nobody was notified of it.
func TestFindsWhatChangedSinceOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "campaigns")
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan words, 2)
	w, err := watch.Open(watch.Options[words]{Path: path, Parse: parse, Poll: time.Hour, Settle: time.Millisecond,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), OnLoad: func(s words) { loaded <- s }})
	if err != nil {
		t.Fatal(err)
	}
	<-loaded
	if err := os.WriteFile(path, []byte("after it"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() {
		if s := <-loaded; len(s) != 2 {
			t.Errorf("loaded %q", s)
		}
		cancel()
	}()
	if err := w.Run(ctx); err != nil || w.Set().Len() != 2 {
		t.Errorf("%q serves: %v", w.Set(), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "campaigns")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := func(want string, change func(*watch.Options[words])) {
		t.Helper()
		o := watch.Options[words]{Path: file("sound"), Parse: parse, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
		change(&o)
		if _, err := watch.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f("without a path", func(o *watch.Options[words]) { o.Path = "" })
	f("without a path, a parser", func(o *watch.Options[words]) { o.Parse = nil })
	f("must be above 0", func(o *watch.Options[words]) { o.Poll = -time.Second })
	f("no such file", func(o *watch.Options[words]) { o.Path += "s" })
	f("has a fault", func(o *watch.Options[words]) { o.Path = file("fault") })
	f("is larger than", func(o *watch.Options[words]) { o.Path = file(strings.Repeat("a ", 40<<20)) })
	f("cannot register", func(o *watch.Options[words]) {
		if _, err := watch.Open(*o); err != nil {
			t.Fatal(err)
		}
	})
}
