package modelstore

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// State is what a model's directory says should serve.
type State struct {
	Pointer  Pointer          // from the file, else the highest version as stable; zero where there is no version
	FromFile bool             // a pointer file was read
	Versions []int64          // all there are, ascending
	Stamps   map[int64]uint64 // Stamp of each version that the pointer names, to see when its files change
	Err      error            // the pointer or directory can't be read; the other fields are then of the last good state
}

// Equal says whether nothing that a bidder acts on differs.
func (s State) Equal(t State) bool {
	if (s.Err == nil) != (t.Err == nil) || s.Err != nil && s.Err.Error() != t.Err.Error() {
		return false
	}
	return s.Pointer.Equal(t.Pointer) && s.FromFile == t.FromFile && slices.Equal(s.Versions, t.Versions) && maps.Equal(s.Stamps, t.Stamps)
}

// State reads a model's state once. A fault in reading is in State.Err.
func (s *Store) State(model string) State {
	return s.next(model, State{})
}

// next reads the state; last is kept where reading fails.
func (s *Store) next(model string, last State) State {
	dir, err := s.ModelDir(model)
	if err != nil {
		last.Err = err
		return last
	}
	versions, err := s.Versions(model)
	if err != nil {
		last.Err = err
		return last
	}
	p, err := s.Pointer(model)
	fromFile := err == nil
	if errors.Is(err, ErrNoPointer) {
		p, err = Pointer{}, nil
		if n := len(versions); n > 0 {
			p.Stable = versions[n-1]
		}
	}
	if err != nil {
		last.Err = err
		return last
	}
	st := State{Pointer: p, FromFile: fromFile, Versions: versions, Stamps: map[int64]uint64{}}
	for _, v := range p.names() {
		if vdir, err := s.VersionDir(model, v); err == nil && dir != "" {
			st.Stamps[v] = Stamp(vdir)
		}
	}
	return st
}

// WatchOptions tune Watch. The zero value is usable.
type WatchOptions struct {
	Poll   time.Duration // how often to look regardless of notices; default 2 s, at least 10 ms
	Settle time.Duration // how long to let a burst of notices end before looking; default 20 ms
	Logger *slog.Logger  // default slog.Default
	// NoNotify turns the kernel's notices off: polling alone, as on network file systems that have none.
	NoNotify bool
}

// Watch sends the model's state at once and then whenever it differs from the one sent before, until ctx ends; then it
// closes the channel. It looks when the kernel tells of a change (fsnotify) and every Poll besides. The channel holds
// one state: one not yet received is replaced by a newer one, so a slow receiver sees only the latest.
func (s *Store) Watch(ctx context.Context, model string, opts WatchOptions) (<-chan State, error) {
	dir, err := s.ModelDir(model)
	if err != nil {
		return nil, err
	}
	if opts.Poll == 0 {
		opts.Poll = 2 * time.Second
	}
	if opts.Settle == 0 {
		opts.Settle = 20 * time.Millisecond
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	w := &watcher{store: s, model: model, dir: dir, opts: opts, out: make(chan State, 1)} // 1: the latest state
	if !opts.NoNotify {
		n, err := fsnotify.NewWatcher()
		if err != nil {
			opts.Logger.Warn("no file notices, polling alone", "model", model, "poll_s", opts.Poll.Seconds(), "error", err)
		} else {
			w.notify = n
		}
	}
	go w.watchLoop(ctx)
	return w.out, nil
}

type watcher struct {
	store    *Store
	model    string
	dir      string
	opts     WatchOptions
	notify   *fsnotify.Watcher // nil: polling alone
	watching bool              // the model's directory is registered with notify
	last     State
	sent     bool
	out      chan State
}

// watchLoop ends with ctx.
func (w *watcher) watchLoop(ctx context.Context) {
	defer close(w.out)
	var events <-chan fsnotify.Event
	var faults <-chan error
	if w.notify != nil {
		defer w.notify.Close()
		events, faults = w.notify.Events, w.notify.Errors
	}
	poll := time.NewTicker(max(w.opts.Poll, 10*time.Millisecond))
	defer poll.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	settling := false
	w.register()
	w.look()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Has(fsnotify.Remove) && e.Name == w.dir {
				w.watching = false
			}
			if !settling { // not restarted by later notices: a busy directory can't put the look off for ever
				settling = true
				settle.Reset(w.opts.Settle)
			}
		case err := <-faults:
			w.opts.Logger.Warn("file notices failed, polling goes on", "model", w.model, "error", err)
		case <-settle.C:
			settling = false
			w.look()
		case <-poll.C:
			w.register()
			w.look()
		}
	}
}

// register asks for notices of the model's directory, if it exists by now.
func (w *watcher) register() {
	if w.notify == nil || w.watching {
		return
	}
	w.watching = w.notify.Add(w.dir) == nil
}

// look reads the state and sends it if it is new.
func (w *watcher) look() {
	st := w.store.next(w.model, w.last)
	if w.sent && st.Equal(w.last) {
		return
	}
	w.last, w.sent = st, true
	select {
	case <-w.out: // replace what nobody has received
	default:
	}
	w.out <- st // this goroutine alone sends: there is room
}
