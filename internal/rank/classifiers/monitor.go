package classifiers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
// changes. A classifier whose prior is absent is read again when the prior comes.
//
// noticeLoop drains the kernel's notifications into a set of names, and never waits for anything else. Run reads those files. If
// notifications were lost, it compares the whole directory, as it does each minute.
type Monitor struct {
	options Options
	metrics *metrics
	pending pending
	watch   watch
	ready   atomic.Bool

	throttle  throttle.Line // refusals
	unread    throttle.Line // of the directory
	unwatched throttle.Line

	mu    sync.Mutex // guards the table, which Run alone changes
	table table
}

// NewMonitor makes a monitor, and the directory. Run starts it.
func NewMonitor(o Options) (*Monitor, error) {
	if o.Dir == "" || o.Sink == nil || o.Log == nil {
		return nil, errors.New("classifiers: cannot watch without a directory, a sink and a log")
	}
	o.Rescan, o.Settle, o.Readers = cmp.Or(o.Rescan, time.Minute), cmp.Or(o.Settle, 20*time.Millisecond), cmp.Or(o.Readers, 1)
	if o.Rescan < 0 || o.Settle < 0 || o.Readers < 0 {
		return nil, fmt.Errorf("classifiers: rescan %s, settle %s and readers %d must be above 0", o.Rescan, o.Settle, o.Readers)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("classifiers: cannot make the directory: %w", err)
	}
	m := &Monitor{options: o, table: newTable()}
	m.pending.signal = make(chan struct{}, 1)
	var err error
	m.metrics, err = newMetrics(m, o.Registerer)
	return m, err
}

// Ready reports whether all files that were there at the start have been read.
func (m *Monitor) Ready() bool { return m.ready.Load() }

// Run watches until ctx ends, and then returns nil.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.metrics.unregister()
	defer m.watch.close()
	next := time.NewTimer(m.rescan(ctx, "start"))
	defer next.Stop()
	m.ready.Store(ctx.Err() == nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			next.Reset(m.rescan(ctx, "timer"))
		case <-m.pending.signal:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(m.options.Settle):
			}
			names, lost := m.pending.take()
			if lost {
				next.Reset(m.rescan(ctx, "overflow"))
			} else {
				m.read(ctx, names)
			}
		}
	}
}

// rescan reads every file that is not as it is known, and forgets those that are gone. It watches the directory first, so that
// nothing falls between. It returns when to do so again: soon, if the directory can't be watched or read.
func (m *Monitor) rescan(ctx context.Context, cause string) time.Duration {
	m.metrics.rescans.WithLabelValues(cause).Inc()
	next, soon := m.options.Rescan, min(m.options.Rescan, time.Second)
	if err := m.watch.ensure(m.options.Dir, &m.pending); err != nil {
		next = soon
		m.unwatched.Warn(m.options.Log, "classifiers are found by rescans only", "dir", m.options.Dir, "rescan", soon, "error", err)
	}
	names, err := m.changed()
	m.metrics.unreadable.Set(0)
	if err != nil { // what serves stays: a volume that is gone for a while removes no classifier
		m.metrics.unreadable.Set(1)
		m.unread.Warn(m.options.Log, "the directory of classifiers cannot be read; what serves stays", "dir", m.options.Dir, "error", err)
		return soon
	}
	m.read(ctx, names)
	return next
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
		if f == nil || !f.is(stampOf(m.options.Dir, name)) {
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
