// Package dirwatch follows a directory of files: whoever serves them is told which may have changed.
//
//	kernel's notifications ──noticeLoop──► names, each once ──Run──► Read(names)
//	lost notifications, a minute passed ──► Changed() ──► Read(names)
//
// noticeLoop drains the notifications into a set of names, and never waits for anything else. Run reads those files. If
// notifications were lost, it compares the whole directory, as it does each minute.
package dirwatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"gavel/internal/throttle"
)

// Causes of a rescan.
const (
	CauseStart    = "start"
	CauseTimer    = "timer"
	CauseOverflow = "overflow"
)

// Causes lists the causes of a rescan.
var Causes = []string{CauseStart, CauseTimer, CauseOverflow}

// Options are the settings of a Follower. Dir, IsName, Changed, Read and Log are required.
type Options struct {
	Dir    string                 // made if it does not exist
	IsName func(name string) bool // of the files that are followed
	// Changed lists the files that are not as they are known, or gone. An error leaves what is known as it is.
	Changed func() (names []string, err error)
	// Read reads files that may have changed or gone. It returns early if ctx ends. Run alone calls it and Changed.
	Read func(ctx context.Context, names []string)
	// Rescanned is told of each rescan: its cause, and whether the directory could be read. Nil: nobody is.
	Rescanned func(cause string, readable bool)
	// Rescan is how often the whole directory is compared, whatever was notified; 0 means a minute.
	Rescan time.Duration
	// Settle is how long notifications gather before files are read, so that many are read together; 0 means 20 ms.
	Settle time.Duration
	Log    *slog.Logger
}

// A Follower follows one directory.
type Follower struct {
	options Options
	pending pending
	watch   watch
	ready   atomic.Bool

	unread    throttle.Line // of the directory
	unwatched throttle.Line
}

// New makes a follower, and the directory. Run starts it.
func New(o Options) (*Follower, error) {
	if o.Dir == "" || o.IsName == nil || o.Changed == nil || o.Read == nil || o.Log == nil {
		return nil, errors.New("dirwatch: cannot follow without a directory, functions and a log")
	}
	o.Rescan, o.Settle = cmp.Or(o.Rescan, time.Minute), cmp.Or(o.Settle, 20*time.Millisecond)
	if o.Rescan < 0 || o.Settle < 0 {
		return nil, fmt.Errorf("dirwatch: rescan %s and settle %s must be above 0", o.Rescan, o.Settle)
	}
	if o.Rescanned == nil {
		o.Rescanned = func(string, bool) {}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("dirwatch: cannot make the directory: %w", err)
	}
	f := &Follower{options: o}
	f.pending.signal = make(chan struct{}, 1)
	f.watch.isName = o.IsName
	return f, nil
}

// Ready reports whether all files that were there at the start have been read.
func (f *Follower) Ready() bool { return f.ready.Load() }

// Stall has a test's function called before each notification is taken. It is set before Run.
func (f *Follower) Stall(stalled func()) { f.watch.stalled = stalled }

// Run follows until ctx ends, and then returns nil.
func (f *Follower) Run(ctx context.Context) error {
	defer f.watch.close()
	next := time.NewTimer(f.rescan(ctx, CauseStart))
	defer next.Stop()
	f.ready.Store(ctx.Err() == nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
			next.Reset(f.rescan(ctx, CauseTimer))
		case <-f.pending.signal:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(f.options.Settle):
			}
			names, lost := f.pending.take()
			if lost {
				next.Reset(f.rescan(ctx, CauseOverflow))
			} else {
				f.options.Read(ctx, names)
			}
		}
	}
}

// rescan has every file read that is not as it is known. It watches the directory first, so that nothing falls between. It returns
// when to do so again: soon, if the directory can't be watched or read.
func (f *Follower) rescan(ctx context.Context, cause string) time.Duration {
	o := &f.options
	next, soon := o.Rescan, min(o.Rescan, time.Second)
	if err := f.watch.ensure(o.Dir, &f.pending); err != nil {
		next = soon
		f.unwatched.Warn(o.Log, "files are found by rescans only", "dir", o.Dir, "rescan", soon, "error", err)
	}
	names, err := o.Changed()
	o.Rescanned(cause, err == nil)
	if err != nil { // what serves stays: a volume that is gone for a while removes no file
		f.unread.Warn(o.Log, "a directory cannot be read; what serves stays", "dir", o.Dir, "error", err)
		return soon
	}
	o.Read(ctx, names)
	return next
}
