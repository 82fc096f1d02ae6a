package campaigns

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
)

// Options are what a Watcher needs. Path, Log and Registerer are required.
type Options struct {
	Path string
	Set  auction.SetOptions
	// Poll is how often the file is read where no notification comes (network file systems, full inotify tables); 0 is
	// 5 s. Settle is how long the file must have been left alone after a notification, so that a file half written is
	// not read; 0 is 100 ms.
	Poll, Settle time.Duration
	Log          *slog.Logger
	Registerer   prometheus.Registerer
	// OnLoad is called with every set that begins to serve, the first included, one call at a time. nil: none.
	OnLoad func(*auction.CampaignSet)
}

// Watcher holds the set that serves.
type Watcher struct {
	options Options
	set     atomic.Pointer[auction.CampaignSet]
	// Of the loop alone: the content last read and the last error in reading, so that each edit is told of once.
	content   []byte
	readError string

	reloads   *prometheus.CounterVec
	campaigns prometheus.Gauge
	loaded    prometheus.Gauge
	refused   prometheus.Gauge
}

// Open loads the file for the first time; a fault in it is an error, since there is nothing that could serve on.
func Open(o Options) (*Watcher, error) {
	if o.Path == "" || o.Log == nil || o.Registerer == nil {
		return nil, errors.New("campaigns: cannot watch without a path, a log and a registerer")
	}
	o.Poll, o.Settle = cmp.Or(o.Poll, 5*time.Second), cmp.Or(o.Settle, 100*time.Millisecond)
	if o.Poll < 0 || o.Settle < 0 {
		return nil, fmt.Errorf("campaigns: poll %s and settle %s must be above 0", o.Poll, o.Settle)
	}
	w := &Watcher{
		options: o,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gavel_campaigns_reloads_total",
			Help: "Times the campaign file changed, by result: loaded, refused (a fault in it), unreadable.",
		}, []string{"result"}),
		campaigns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_campaigns", Help: "Campaigns in the set that serves.",
		}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_campaigns_loaded_timestamp_seconds", Help: "When the set that serves was loaded.",
		}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gavel_campaigns_file_refused", Help: "1 while the file on disk is refused and an older set serves.",
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
	data, err := read(o.Path)
	if err != nil {
		return nil, err
	}
	set, err := parse(o.Path, data, o.Set)
	if err != nil {
		return nil, err
	}
	w.content = data
	w.serve(set)
	return w, nil
}

// Set is the set that serves now.
func (w *Watcher) Set() *auction.CampaignSet { return w.set.Load() }

// Run watches the file until ctx ends, and returns nil then. Faults in the file are logged and counted; the set that
// serves stays.
func (w *Watcher) Run(ctx context.Context) error {
	var events chan fsnotify.Event
	var failures chan error
	notify, err := fsnotify.NewWatcher()
	if err == nil {
		defer notify.Close()
		// The directory, not the file: editors and ConfigMaps replace the file by renaming.
		err = notify.Add(filepath.Dir(w.options.Path))
		events, failures = notify.Events, notify.Errors
	}
	if err != nil {
		w.options.Log.Warn("campaign file is polled only", "path", w.options.Path, "poll", w.options.Poll, "error", err)
	}
	w.watchLoop(ctx, events, failures)
	return nil
}

// watchLoop ends with ctx.
func (w *Watcher) watchLoop(ctx context.Context, events <-chan fsnotify.Event, failures <-chan error) {
	poll := time.NewTicker(w.options.Poll)
	defer poll.Stop()
	settled := time.NewTimer(w.options.Settle) // also catches an edit between Open and here
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
func (w *Watcher) check() {
	log := w.options.Log.With("path", w.options.Path)
	data, err := read(w.options.Path)
	if err != nil {
		if err.Error() != w.readError {
			w.readError = err.Error()
			w.reloads.WithLabelValues("unreadable").Inc()
			w.refused.Set(1)
			log.Error("campaign file cannot be read; the old set serves on", "campaigns", w.Set().Len(), "error", err)
		}
		return
	}
	recovered := w.readError != ""
	if bytes.Equal(data, w.content) && !recovered {
		return
	}
	w.readError, w.content = "", data
	set, err := parse(w.options.Path, data, w.options.Set)
	if err != nil {
		w.reloads.WithLabelValues("refused").Inc()
		w.refused.Set(1)
		log.Error("campaign file refused; the old set serves on", "campaigns", w.Set().Len(), "error", err)
		return
	}
	before := w.Set().Len()
	w.serve(set)
	w.reloads.WithLabelValues("loaded").Inc()
	log.Info("campaigns loaded", "campaigns", set.Len(), "before", before)
}

func (w *Watcher) serve(set *auction.CampaignSet) {
	w.set.Store(set)
	w.campaigns.Set(float64(set.Len()))
	w.loaded.SetToCurrentTime()
	w.refused.Set(0)
	if w.options.OnLoad != nil {
		w.options.OnLoad(set)
	}
}
