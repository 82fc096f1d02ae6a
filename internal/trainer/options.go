package trainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"gavel/internal/models"
	"gavel/internal/recipe"
	"gavel/internal/stream"
)

// Options configures a pipeline. A duration or size of zero takes the default named beside it.
type Options struct {
	Recipe     *recipe.Recipe
	RecipePath string   // the same recipe's file, for the child
	Python     []string // how pytrain is run, as in ["python", "-m", "pytrain"]
	Dir        string   // the child's working directory, where it finds pytrain; "": this process's
	StateDir   string   // checkpoints go to <StateDir>/<model>
	Store      models.Store
	Keep       int // versions kept in the store, 0: 20
	// Objects is where the child puts the parameters of plans; "": nowhere, so that recipes may export no plan.
	Objects string
	// Check refuses an exported version, in its staging directory, before it is put into the store; nil: none is refused.
	Check func(ctx context.Context, dir, model string, version int64) error

	Stream stream.Stream // the events

	ArchiveDir   string // archived examples go to <ArchiveDir>/<model>; "": no archive
	ArchiveRows  int    // rows a file, 0: 50,000
	ArchiveFiles int    // files kept, 0: 2,000

	Reorder     time.Duration // see join.Options, 0: 2 s
	MaxPending  int           // the same, 0: 2,000,000
	FlushEvery  time.Duration // how long a row may wait for its frame to fill, 0: 500 ms
	QueueFrames int           // frames between feedLoop and writeLoop, 0: 8

	HelloTimeout time.Duration // 0: 2 min; TensorFlow alone takes some seconds to start on a busy machine
	StallTimeout time.Duration // how long the child may stay silent while it has work, 0: 5 min
	StopTimeout  time.Duration // for the child's last checkpoint, 0: 30 s
	BackoffMin   time.Duration // pause before a restart; doubles with each failure in a row, 0: 500 ms
	BackoffMax   time.Duration // 0: 30 s

	Logger  *slog.Logger // nil: none
	Metrics *Metrics
}

func (o *Options) fill() error {
	var faults []error
	missing := func(is bool, what string) {
		if is {
			faults = append(faults, fmt.Errorf("%s is not set", what))
		}
	}
	missing(o.Recipe == nil, "Recipe")
	missing(o.RecipePath == "", "RecipePath")
	missing(len(o.Python) == 0, "Python")
	missing(o.StateDir == "", "StateDir")
	missing(o.Store == nil, "Store")
	missing(o.Stream == nil, "Stream")
	missing(o.Metrics == nil, "Metrics")
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("trainer: cannot set up pipeline: %w", err)
	}
	o.Keep = cmp.Or(o.Keep, 20)
	o.ArchiveRows = cmp.Or(o.ArchiveRows, 50_000)
	o.ArchiveFiles = cmp.Or(o.ArchiveFiles, 2_000)
	o.FlushEvery = cmp.Or(o.FlushEvery, 500*time.Millisecond)
	o.QueueFrames = cmp.Or(o.QueueFrames, 8)
	o.HelloTimeout = cmp.Or(o.HelloTimeout, 2*time.Minute)
	o.StallTimeout = cmp.Or(o.StallTimeout, 5*time.Minute)
	o.StopTimeout = cmp.Or(o.StopTimeout, 30*time.Second)
	o.BackoffMin = cmp.Or(o.BackoffMin, 500*time.Millisecond)
	o.BackoffMax = cmp.Or(o.BackoffMax, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
