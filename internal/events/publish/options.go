package publish

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events"
	"gavel/internal/stream"
)

// Options configures a publisher.
type Options struct {
	Stream stream.Stream
	Source string // name of this bidder, unique in the fleet; goes with every message
	// SpillFile is the journal for times when the stream is down. Messages that an earlier process left in it are sent first.
	SpillFile string
	// SpillMaxBytes bounds the journal. Its last quarter is for important events only. 0: 256 MiB.
	SpillMaxBytes int64
	// BufferBytes bounds the events in memory. Its last quarter is for important events only. 0: 16 MiB.
	BufferBytes int
	// A message is sent when it has so many events (0: 100) or so many bytes (0: 256 KiB), or when its first event has
	// waited so long (0: 20 ms).
	BatchEvents int
	BatchBytes  int
	BatchWait   time.Duration
	// Tick is how often a heartbeat is published. 0: 1 s; negative: never.
	Tick time.Duration

	Logger     *slog.Logger // nil: none
	Registerer prometheus.Registerer
}

// fill sets the defaults. Its error names every fault.
func (o *Options) fill() error {
	var errs []error
	if o.Stream == nil {
		errs = append(errs, errors.New("Stream is missing"))
	}
	if o.Source == "" || len(o.Source) > 64 {
		errs = append(errs, fmt.Errorf("source %q: want 1 to 64 characters (bidder.name)", o.Source))
	}
	if o.SpillFile == "" {
		errs = append(errs, errors.New("SpillFile is missing (events.spill_file)"))
	}
	if o.Registerer == nil {
		errs = append(errs, errors.New("Registerer is missing"))
	}
	o.BatchEvents = cmp.Or(o.BatchEvents, 100)
	o.BatchBytes = cmp.Or(o.BatchBytes, 256<<10)
	o.BatchWait = cmp.Or(o.BatchWait, 20*time.Millisecond)
	o.BufferBytes = cmp.Or(o.BufferBytes, 16<<20)
	o.SpillMaxBytes = cmp.Or(o.SpillMaxBytes, 256<<20)
	o.Tick = cmp.Or(o.Tick, time.Second)
	if o.BatchEvents < 1 || o.BatchBytes < 1 || o.BatchBytes > stream.MaxMessageBytes-2*events.MaxEventBytes || o.BatchWait < 0 {
		errs = append(errs, fmt.Errorf("batches of %d events, %d bytes, %v: want 1 or more, 1 to %d, and no less than 0",
			o.BatchEvents, o.BatchBytes, o.BatchWait, stream.MaxMessageBytes-2*events.MaxEventBytes))
	}
	if o.BufferBytes < 4*o.BatchBytes || o.SpillMaxBytes < int64(4*o.BatchBytes) {
		errs = append(errs, fmt.Errorf("buffer of %d and journal of %d bytes: want four batches or more, %d", o.BufferBytes, o.SpillMaxBytes, 4*o.BatchBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
