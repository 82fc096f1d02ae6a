package models

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// WatchOptions configures how changes of a store are found. The zero value is usable.
type WatchOptions struct {
	Poll   time.Duration // how often each model's state is read, regardless of notices; default 2 s, at least 10 ms
	Settle time.Duration // how long to wait after a first notice, so that a burst causes one reading; default 20 ms
	// NoNotify turns notices off, for network file systems that have none. Changes are then found by polling.
	NoNotify bool
}

func (o *WatchOptions) fill() {
	if o.Poll == 0 {
		o.Poll = 2 * time.Second
	}
	o.Poll = max(o.Poll, 10*time.Millisecond)
	if o.Settle == 0 {
		o.Settle = 20 * time.Millisecond
	}
}

// minTick is the shortest time between two wake-ups. If there are many models, the watcher reads several each time.
const minTick = 5 * time.Millisecond

// watcher reads the states of all followed models of one store, with one goroutine. Within Poll it looks at each model once,
// spread evenly, so that hundreds of models cause no burst. It also reads models for which the store sends a notice. A model whose
// stamp has not changed is read only every 15th time, unless it has refused versions.
type watcher struct {
	store  Store
	opts   WatchOptions
	log    *slog.Logger
	notify Notices // nil: only polling
	wake   chan struct{}
	tell   func(model string, st State) // takes a changed state; only watchLoop calls it
	// refused says whether a model has refused versions, whose files may be mended without a change of the stamp.
	refused func(model string) bool

	mu       sync.Mutex // guards what follows
	followed []string   // in the order of reading
	fresh    []string   // followed, but not yet read by watchLoop

	discover func(models []string) // takes the models that have a pointer; nil: nobody asks
	asked    bool                  // discover was set, and not called yet
}

func newWatcher(store Store, opts WatchOptions, log *slog.Logger, tell func(model string, st State), refused func(model string) bool) *watcher {
	opts.fill()
	w := &watcher{store: store, opts: opts, log: log, tell: tell, refused: refused, wake: make(chan struct{}, 1)} // 1: one wake-up serves all fresh models
	if n, ok := store.(Notifier); ok && !opts.NoNotify {
		notices, err := n.Notices()
		if err != nil {
			log.Warn("no notices of the model store, only polling", "store", store.String(), "poll_s", opts.Poll.Seconds(), "error", err)
		} else {
			w.notify = notices
		}
	}
	return w
}

// discoverTo makes the watcher list the store's models soon, and regularly from then on.
func (w *watcher) discoverTo(do func(models []string)) {
	w.mu.Lock()
	w.discover, w.asked = do, true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// list tells which models have a pointer. last has the states of those that are followed, whose pointers are not read again.
func (w *watcher) list(ctx context.Context, last map[string]State) {
	w.mu.Lock()
	do := w.discover
	w.mu.Unlock()
	if do == nil {
		return
	}
	names, err := w.store.Models(ctx)
	if err != nil {
		w.log.Warn("cannot list the models of the store", "error", err)
		return
	}
	names = slices.DeleteFunc(names, func(model string) bool {
		if st, followed := last[model]; followed {
			return !st.Set && st.Err == nil
		}
		_, _, err := w.store.Pointer(ctx, model)
		return err != nil
	})
	if ctx.Err() == nil {
		do(names)
	}
}

// follow makes the watcher read a model soon, and regularly from then on.
func (w *watcher) follow(model string) {
	w.mu.Lock()
	w.followed, w.fresh = append(w.followed, model), append(w.fresh, model)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// unfollow ends that. One reading may still be under way.
func (w *watcher) unfollow(model string) {
	w.mu.Lock()
	is := func(m string) bool { return m == model }
	w.followed, w.fresh = slices.DeleteFunc(w.followed, is), slices.DeleteFunc(w.fresh, is)
	w.mu.Unlock()
	if w.notify != nil {
		w.notify.Remove(model)
	}
}

// watchLoop ends with ctx.
func (w *watcher) watchLoop(ctx context.Context) {
	var notices <-chan string
	if w.notify != nil {
		defer w.notify.Close()
		notices = w.notify.C()
	}
	last := map[string]State{}   // of followed models
	stamps := map[string]stamp{} // at the last reading
	read := func(model string) {
		stamps[model] = w.stamp(ctx, model)
		if w.notify != nil {
			w.notify.Add(model) // before reading, so that no change in between is missed
		}
		was, seen := last[model]
		st := ReadState(ctx, w.store, model, was)
		if ctx.Err() == nil && (!seen || !st.Equal(was)) {
			last[model] = st
			w.tell(model, st)
		}
	}
	poll := time.NewTimer(w.interval())
	defer poll.Stop()
	settle := time.NewTimer(time.Hour)
	settle.Stop()
	defer settle.Stop()
	listing := time.NewTicker(w.opts.Poll)
	defer listing.Stop()
	told := map[string]bool{}
	next := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-listing.C:
			w.list(ctx, last)
		case <-w.wake:
			if w.takeAsked() {
				w.list(ctx, last)
			}
			for _, model := range w.takeFresh() {
				delete(last, model) // it may have been followed before
				read(model)
			}
			poll.Reset(w.interval())
		case model, ok := <-notices:
			if !ok {
				notices = nil
				continue
			}
			if len(told) == 0 { // later notices do not restart the timer, so a busy model cannot delay the reading for ever
				settle.Reset(w.opts.Settle)
			}
			told[model] = true
		case <-settle.C:
			for _, model := range w.stillFollowed(told) {
				read(model)
			}
			clear(told)
		case <-poll.C:
			var models []string
			models, next = w.due(next)
			for _, model := range models {
				was := stamps[model]
				if now := w.stamp(ctx, model); !now.known || now.value != was.value || was.skipped >= maxSkipped || last[model].Err != nil || w.refused(model) {
					read(model)
				} else {
					was.skipped++
					stamps[model] = was
				}
			}
			if next == 0 {
				w.forget(last, stamps)
			}
			poll.Reset(w.interval())
		}
	}
}

func (w *watcher) takeAsked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = false
	return asked
}

func (w *watcher) takeFresh() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh := w.fresh
	w.fresh = nil
	return fresh
}

func (w *watcher) stillFollowed(told map[string]bool) (models []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, model := range w.followed {
		if told[model] {
			models = append(models, model)
		}
	}
	return models
}

// interval is how long to wait before the next reading.
func (w *watcher) interval() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(w.opts.Poll/time.Duration(max(len(w.followed), 1)), minTick)
}

// due returns the models to read now, starting at index next, and the index to continue at; 0 after the last model.
func (w *watcher) due(next int) (models []string, then int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.followed)
	if next >= n {
		next = 0
	}
	rounds := max(int64(w.opts.Poll/minTick), 1) // wake-ups within which every model must be read
	then = min(next+int((int64(n)+rounds-1)/rounds), n)
	models = slices.Clone(w.followed[next:then])
	if then >= n {
		then = 0
	}
	return models, then
}

// stamp is a model's at a reading, and how often the model was not read since because it had not changed.
type stamp struct {
	value   uint64
	known   bool
	skipped int
}

// maxSkipped is how often in a row a model is not read although it is its turn. Then it is read in any case.
const maxSkipped = 14

func (w *watcher) stamp(ctx context.Context, model string) (s stamp) {
	if stamper, ok := w.store.(Stamper); ok {
		s.value, s.known = stamper.Stamp(ctx, model)
	}
	return s
}

// forget drops what is kept of models that are no longer followed.
func (w *watcher) forget(last map[string]State, stamps map[string]stamp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	followed := map[string]bool{}
	for _, model := range w.followed {
		followed[model] = true
	}
	maps.DeleteFunc(last, func(model string, _ State) bool { return !followed[model] })
	maps.DeleteFunc(stamps, func(model string, _ stamp) bool { return !followed[model] })
}
