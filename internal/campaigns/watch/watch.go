// Package watch holds the set that a campaign file describes, and loads the file anew when it changes. It knows nothing of what a
// campaign is: the bidder's campaigns (internal/campaigns) and the ranker's (internal/rank/landings) use it alike.
package watch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/strictyaml"
)

// Set is what a file describes: immutable, with so many campaigns.
type Set interface{ Len() int }

// Options are the settings of a Watcher. All but Poll, Settle and OnLoad are required.
type Options[S Set] struct {
	Path string
	// Parse makes the set of the file's content. Its error names path, and every fault.
	Parse func(path string, data []byte) (S, error)
	// Poll is how often the file is read without a notification (network file systems, full inotify tables); 0 means 5
	// s. Settle is how long the file must stay unchanged after a notification, so that a half-written file is not read;
	// 0 means 100 ms.
	Poll, Settle time.Duration
	Log          *slog.Logger
	Registerer   prometheus.Registerer
	// OnLoad is called with every set that comes into use, also the first, one call at a time. It may be nil.
	OnLoad func(S)
}

// Watcher holds the set in use.
type Watcher[S Set] struct {
	options Options[S]
	set     atomic.Pointer[S]
	// Used by watchLoop alone: the content last read and the last read error, so that each edit is reported once.
	content   []byte
	readError string

	reloads   *prometheus.CounterVec
	campaigns prometheus.Gauge
	loaded    prometheus.Gauge
	refused   prometheus.Gauge
}

// Open loads the file for the first time. A fault in it is an error, because there is no earlier set to keep.
func Open[S Set](o Options[S]) (*Watcher[S], error) {
	if o.Path == "" || o.Parse == nil || o.Log == nil || o.Registerer == nil {
		return nil, errors.New("campaigns: cannot watch without a path, a parser, a log and a registerer")
	}
	o.Poll, o.Settle = cmp.Or(o.Poll, 5*time.Second), cmp.Or(o.Settle, 100*time.Millisecond)
	if o.Poll < 0 || o.Settle < 0 {
		return nil, fmt.Errorf("campaigns: poll %s and settle %s must be above 0", o.Poll, o.Settle)
	}
	w := &Watcher[S]{
		options: o,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_campaigns_reloads_total",
			Help: "Changes of the campaign file, by result: loaded, refused (it has a fault), unreadable.",
		}, []string{"result"}),
		campaigns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_campaigns", Help: "Campaigns in the set in use.",
		}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_campaigns_loaded_timestamp_seconds", Help: "When the set in use was loaded, Unix time.",
		}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_campaigns_file_refused", Help: "1 while the file on disk is refused or unreadable and an older set is in use.",
		}),
	}
	for _, c := range []prometheus.Collector{w.reloads, w.campaigns, w.loaded, w.refused} {
		if err := o.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("campaigns: cannot register metrics: %w", err)
		}
	}
	for _, result := range []string{"loaded", "refused", "unreadable"} {
		w.reloads.WithLabelValues(result)
	}
	data, err := Read(o.Path)
	if err != nil {
		return nil, err
	}
	set, err := o.Parse(o.Path, data)
	if err != nil {
		return nil, err
	}
	w.content = data
	w.serve(set)
	return w, nil
}

// Set returns the set in use.
func (w *Watcher[S]) Set() S { return *w.set.Load() }

// Run watches the file until ctx ends, and then returns nil. If the file has a fault, Run logs and counts it, and the
// set in use stays.
func (w *Watcher[S]) Run(ctx context.Context) error {
	var events chan fsnotify.Event
	var failures chan error
	notify, err := fsnotify.NewWatcher()
	if err == nil {
		defer notify.Close()
		// Watch the directory, not the file, because editors and ConfigMaps replace the file by renaming.
		err = notify.Add(filepath.Dir(w.options.Path))
		events, failures = notify.Events, notify.Errors
	}
	if err != nil {
		w.options.Log.Warn("campaign file is polled only", "path", w.options.Path, "poll", w.options.Poll, "error", err)
	}
	w.watchLoop(ctx, events, failures)
	return nil
}

// watchLoop ends when ctx does.
func (w *Watcher[S]) watchLoop(ctx context.Context, events <-chan fsnotify.Event, failures <-chan error) {
	poll := time.NewTicker(w.options.Poll)
	defer poll.Stop()
	settled := time.NewTimer(w.options.Settle) // the first check catches an edit made since Open
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			settled.Reset(w.options.Settle)
		case err := <-failures:
			w.options.Log.Warn("campaign file notifications failed; polling goes on", "path", w.options.Path, "error", err)
		case <-settled.C:
			w.check()
		case <-poll.C:
			w.check()
		}
	}
}

// check reads the file and, if it changed, loads or refuses it.
func (w *Watcher[S]) check() {
	log := w.options.Log.With("path", w.options.Path)
	data, err := Read(w.options.Path)
	if err != nil {
		if err.Error() != w.readError {
			w.readError = err.Error()
			w.reloads.WithLabelValues("unreadable").Inc()
			w.refused.Set(1)
			log.Error("campaign file cannot be read; the old set stays in use", "campaigns", w.Set().Len(), "error", err)
		}
		return
	}
	recovered := w.readError != ""
	if bytes.Equal(data, w.content) && !recovered {
		return
	}
	w.readError, w.content = "", data
	set, err := w.options.Parse(w.options.Path, data)
	if err != nil {
		w.reloads.WithLabelValues("refused").Inc()
		w.refused.Set(1)
		log.Error("campaign file refused; the old set stays in use", "campaigns", w.Set().Len(), "error", err)
		return
	}
	before := w.Set().Len()
	w.serve(set)
	w.reloads.WithLabelValues("loaded").Inc()
	log.Info("campaigns loaded", "campaigns", set.Len(), "before", before)
}

func (w *Watcher[S]) serve(set S) {
	w.set.Store(&set)
	w.campaigns.Set(float64(set.Len()))
	w.loaded.SetToCurrentTime()
	w.refused.Set(0)
	if w.options.OnLoad != nil {
		w.options.OnLoad(set)
	}
}

// Read reads a campaign file. Its size is bounded.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("campaigns: cannot read the campaign file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("campaigns: cannot read the campaign file: %w", err)
	}
	if len(data) > strictyaml.MaxBytes {
		return nil, fmt.Errorf("campaigns: %s is larger than %d bytes; split it over several processes", path, strictyaml.MaxBytes)
	}
	return data, nil
}
