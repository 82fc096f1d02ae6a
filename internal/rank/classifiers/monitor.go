package classifiers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/dirwatch"
	"gavel/internal/throttle"
)

// Options are the settings of a Monitor. Dir, Sink and Log are required.
type Options struct {
	Dir  string // made if it does not exist
	Sink Sink
	// Rescan is how often the whole directory is compared with what is known, whatever was notified; 0 means a minute.
	Rescan time.Duration
	// Settle is how long notifications gather before files are read, so that many are read together; 0 means 20 ms.
	Settle time.Duration
	// Readers is how many files are read and decoded at once; 0 means 1, which leaves the processors to who serves.
	Readers    int
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// A Monitor keeps a sink equal to a directory of classifier files. It reads files whole, checks them, and hands them to the sink,
// which checks their golden probabilities. A file that is refused leaves what it held before in place; it is read again when it
// changes. A classifier whose prior is absent is read again when the prior comes. dirwatch says which files may have changed.
type Monitor struct {
	options  Options
	metrics  *metrics
	follower *dirwatch.Follower

	throttle throttle.Line // refusals

	mu    sync.Mutex // guards the table, which Run alone changes
	table table
}

// NewMonitor makes a monitor, and the directory. Run starts it.
func NewMonitor(o Options) (*Monitor, error) {
	if o.Dir == "" || o.Sink == nil || o.Log == nil {
		return nil, errors.New("classifiers: cannot watch without a directory, a sink and a log")
	}
	if o.Readers = cmp.Or(o.Readers, 1); o.Readers < 0 {
		return nil, fmt.Errorf("classifiers: readers %d must be above 0", o.Readers)
	}
	m := &Monitor{options: o, table: newTable()}
	var err error
	m.follower, err = dirwatch.New(dirwatch.Options{Dir: o.Dir, IsName: IsName, Changed: m.changed, Read: m.read,
		Rescanned: func(cause string, readable bool) { m.metrics.rescanned(cause, readable) },
		Rescan:    o.Rescan, Settle: o.Settle, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("classifiers: %w", err)
	}
	m.metrics, err = newMetrics(m, o.Registerer)
	return m, err
}

// Ready reports whether all files that were there at the start have been read.
func (m *Monitor) Ready() bool { return m.follower.Ready() }

// Run watches until ctx ends, and then returns nil.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.metrics.Unregister()
	return m.follower.Run(ctx)
}

// changed lists the files that differ from what is known.
func (m *Monitor) changed() (names []string, err error) {
	entries, err := os.ReadDir(m.options.Dir)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		name := e.Name()
		if !IsName(name) {
			continue
		}
		there[name] = true
		f := m.table.files[name]
		if f == nil || !f.is(dirwatch.StampOf(m.options.Dir, name)) {
			names = append(names, name)
		}
	}
	for name := range m.table.files {
		if !there[name] {
			names = append(names, name)
		}
	}
	return names, nil
}
