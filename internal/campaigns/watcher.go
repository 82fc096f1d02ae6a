package campaigns

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/campaigns/watch"
)

// Watcher holds the set in use.
type Watcher = watch.Watcher[*auction.CampaignSet]

// Options are the settings of a Watcher. Path, Log and Registerer are required; see watch.Options for the others.
type Options struct {
	Path         string
	Set          auction.SetOptions
	Poll, Settle time.Duration
	Log          *slog.Logger
	Registerer   prometheus.Registerer
	OnLoad       func(*auction.CampaignSet)
}

// Open loads the file for the first time. A fault in it is an error, because there is no earlier set to keep.
func Open(o Options) (*Watcher, error) {
	return watch.Open(watch.Options[*auction.CampaignSet]{
		Path: o.Path, Poll: o.Poll, Settle: o.Settle, Log: o.Log, Registerer: o.Registerer, OnLoad: o.OnLoad,
		Parse: func(path string, data []byte) (*auction.CampaignSet, error) { return parse(path, data, o.Set) },
	})
}
