package models

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"gavel/internal/host"
)

// observe takes the store's new state, and makes the changes that need no loading. If it returns true, a version must be
// loaded, and settle must be called. The group's watching goroutine calls it.
func (m *Manager) observe(st State) (pending bool) {
	m.mu.Lock()
	was, first := m.state, !m.seen
	m.state, m.seen = st, true
	m.mu.Unlock()
	m.report(was, st, first)
	if st.Err != nil {
		return false
	}
	if m.Asleep() {
		return false
	}
	if !m.turn.TryLock() { // a load is under way; the group calls settle again after it
		return true
	}
	defer m.turn.Unlock()
	return m.reconcile(false)
}

// settle loads the versions that the last observed state needs, and swaps. If it returns true, the state has changed, and
// settle must be called again. A loading goroutine calls it.
func (m *Manager) settle() (again bool) {
	m.turn.Lock()
	defer m.turn.Unlock()
	again = m.reconcile(true)
	if !again {
		m.mu.Lock()
		m.announce()
		m.mu.Unlock()
	}
	return again
}

// report logs the parts of a new state that a person should know.
func (m *Manager) report(was, st State, first bool) {
	if st.Err != nil && (was.Err == nil || was.Err.Error() != st.Err.Error()) {
		m.log.Error("cannot read the model store; the present versions keep serving", "error", st.Err)
	}
	if first && st.Err == nil && len(st.Versions) == 0 {
		m.log.Warn("the store holds no version of the model; it serves when there is one (python -m pytrain init makes a first)",
			"store", m.group.opts.Store.String())
	}
	switch pin := st.Pointer.Pinned; {
	case pin != nil && was.Pointer.Pinned == nil:
		m.log.Info("the pointer is pinned", "version", st.Pointer.Stable, "since", pin.Since, "reason", pin.Reason)
	case pin == nil && was.Pointer.Pinned != nil:
		m.log.Info("the pointer is no longer pinned")
	}
}

// latest returns the state that was observed last.
func (m *Manager) latest() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// errUnloaded means that a version must be loaded, but the caller may not load.
var errUnloaded = errors.New("models: the version is not loaded yet")

// reconcile makes the versions serve that the store names. If the stable version is refused, the old one keeps serving. If
// the canary is refused, the stable version serves its share. If nothing serves yet and the stable version is refused,
// reconcile tries the previous version, or without a pointer the next lower one. If it returns true, it must be called
// again; if mayLoad is false, by a caller that may load. The caller holds m.turn.
func (m *Manager) reconcile(mayLoad bool) (again bool) {
	st := m.latest()
	if m.ctx.Err() != nil || st.Err != nil || m.Asleep() {
		return false
	}
	m.forget(st)
	cur := m.current.Load()
	if cur == nil {
		cur = &serving{}
	}
	wanted := []int64{}
	if st.Pointer.Stable != 0 {
		wanted = append(wanted, st.Pointer.Stable)
	}
	if cur.stable == nil {
		wanted = append(wanted, fallbacks(st)...)
	}
	stable := cur.stable
	for _, v := range wanted {
		s, err := m.obtain(cur, v, mayLoad)
		if err != nil {
			return true
		}
		if s != nil {
			stable = s
			break
		}
	}
	if stable == nil || m.ctx.Err() != nil {
		m.drop(cur, stable)
		return false
	}
	// During the load, a person may have rolled back. Then the loaded version must not serve, not even for a moment.
	if now := m.latest().Pointer; stable != cur.stable && cur.stable != nil && now.Stable == cur.stable.Version() && now.Stable != st.Pointer.Stable {
		m.drop(cur, stable)
		return true
	}
	// The stable version serves before the canary is loaded, since it may be the target of a rollback.
	var canary *Servable
	share := 0.0
	if c := st.Pointer.Canary; c != nil && c.Version != stable.Version() {
		share = c.Share
		for _, s := range []*Servable{cur.canary, cur.stable} {
			if s != nil && s.Version() == c.Version {
				canary = s
			}
		}
	}
	if stable != cur.stable || canary != cur.canary || share != cur.share && canary != nil {
		m.serve(newServing(stable, canary, share))
	}
	if share == 0 || canary != nil {
		return false
	}
	canary, err := m.obtain(m.current.Load(), st.Pointer.Canary.Version, mayLoad)
	if err != nil {
		return true
	}
	if canary == nil {
		return false
	}
	if now := m.latest().Pointer.Canary; m.ctx.Err() != nil || now == nil || now.Version != canary.Version() {
		canary.Release()
		return true
	}
	m.serve(newServing(stable, canary, share))
	return false
}

// serve swaps, and logs the change.
func (m *Manager) serve(next *serving) {
	args := []any{"version", next.stable.Version(), "age_s", int64(next.stable.Age().Seconds())}
	if old := m.current.Load(); old != nil {
		args = append(args, "was", old.stable.Version())
	}
	if next.canary != nil {
		args = append(args, "canary", next.canary.Version(), "canary_share", next.share)
	}
	m.swap(next)
	m.log.Info("serving", args...)
}

// drop frees a loaded version that will not serve.
func (m *Manager) drop(cur *serving, s *Servable) {
	if s != nil && s != cur.stable && s != cur.canary {
		s.Release()
	}
}

// fallbacks returns the versions to try, in order, if the stable one is refused and nothing serves.
func fallbacks(st State) []int64 {
	if st.Set {
		if st.Pointer.Previous == 0 {
			return nil
		}
		return []int64{st.Pointer.Previous}
	}
	var lower []int64
	for _, v := range slices.Backward(st.Versions) {
		if v != st.Pointer.Stable {
			lower = append(lower, v)
		}
	}
	return lower
}

// obtain returns the version, and loads it if needed; nil if it is refused. If the version is not loaded and mayLoad is
// false, the error is errUnloaded.
func (m *Manager) obtain(cur *serving, version int64, mayLoad bool) (*Servable, error) {
	for _, s := range []*Servable{cur.stable, cur.canary} {
		if s != nil && s.Version() == version {
			return s, nil
		}
	}
	// The stamp is taken before reading, so that a change during the load causes another attempt.
	stamp := stampOf(m.ctx, m.group.opts.Store, m.opts.Model, version)
	m.mu.Lock()
	r := m.refused[version]
	m.mu.Unlock()
	if r != nil && r.stamp == stamp && (r.again.IsZero() || time.Now().Before(r.again)) || m.ctx.Err() != nil {
		return nil, nil
	}
	if !mayLoad {
		return nil, errUnloaded
	}
	s, err := m.load(version)
	if err != nil {
		if m.ctx.Err() == nil {
			m.refuse(version, stamp, err)
		}
		return nil, nil
	}
	m.mu.Lock()
	delete(m.refused, version)
	m.mu.Unlock()
	return s, nil
}

// load loads and prepares a version, at low priority while any version serves.
func (m *Manager) load(version int64) (*Servable, error) {
	var s *Servable
	var err error
	do := func() { s, err = m.loadPrepared(version) }
	// Before anything serves, the load runs at normal priority. Threads that an engine keeps inherit the priority of
	// the first load.
	if m.group.kind() {
		inLowThread(m.group.opts.Nice, do)
	} else {
		do()
	}
	if err != nil {
		return nil, err
	}
	s.onZero = m.retire
	m.retired.Add(1)
	m.mu.Lock()
	m.live++
	m.mu.Unlock()
	m.group.count.loads.Inc()
	m.metrics.loadSeconds.Observe(s.loadTime.Seconds())
	m.log.Info("version loaded", "version", version, "format", s.format, "load_ms", s.loadTime.Milliseconds(), "rows_learnt", s.manifest.Training.Rows)
	if len(s.unwarmed) > 0 {
		m.log.Warn("the warm-up used all its time; the first batches of larger sizes will be slow", "version", version,
			"budget_ms", m.opts.Load.WarmBudget.Milliseconds(), "skipped_rows", s.unwarmed)
	}
	return s, nil
}

func (m *Manager) loadPrepared(version int64) (*Servable, error) {
	files, err := m.group.opts.Store.Fetch(m.ctx, m.opts.Model, version)
	if err != nil {
		return nil, err
	}
	defer files.Release()
	s, err := Load(m.ctx, m.group.opts.Loaders, files.Dir, m.opts.Model, version, m.opts.Load)
	if err != nil {
		return nil, err
	}
	if list, err := m.group.opts.Store.Files(m.ctx, m.opts.Model, version); err == nil {
		for _, f := range list {
			s.fileBytes += f.Size
		}
	}
	if err := m.opts.Prepare(m.ctx, s); err != nil {
		s.Release()
		return nil, refuse(ReasonPrepare, err)
	}
	return s, nil
}

// inLowThread runs do in a thread of low priority and waits for it.
func inLowThread(nice int, do func()) {
	done := make(chan struct{})
	host.GoNice(nice, func(error) { // if the system refuses, the load runs at normal priority
		defer close(done)
		do()
	})
	<-done
}

// A refusal that may pass is tried again after retryFirst, then after twice as long each time, up to retryMost.
const retryFirst, retryMost = 2 * time.Second, time.Minute

// mayPass says whether a refusal may not be the version's fault: the files could not be read or fetched, an object that others
// may replace is damaged, or we failed.
func (r Reason) mayPass() bool {
	return r == ReasonInternal || r == ReasonObject || r == Reason(FaultRead)
}

// refuse counts a refusal, and logs it unless the last attempt failed in the same way. It plans another try of what may pass.
func (m *Manager) refuse(version int64, stamp uint64, err error) {
	r := asRefusal(err)
	m.metrics.refused.WithLabelValues(string(r.Reason)).Inc()
	m.mu.Lock()
	defer m.mu.Unlock()
	next := &refusal{stamp: stamp, RefusedVersion: RefusedVersion{
		Version: version, Reason: r.Reason, Error: err.Error(), At: time.Now(), Attempts: 1,
	}}
	last := m.refused[version]
	if last != nil {
		next.Attempts += last.Attempts
	}
	if r.Reason.mayPass() {
		pause := retryFirst
		for n := 1; n < next.Attempts && pause < retryMost; n++ {
			pause *= 2
		}
		pause = min(pause, retryMost)
		next.again = next.At.Add(pause)
		time.AfterFunc(pause, func() { m.group.enqueue(m) })
	}
	m.refused[version] = next
	if last != nil && last.Error == next.Error {
		return
	}
	when := "when its files change"
	if r.Reason.mayPass() {
		when += ", and every minute or sooner"
	}
	m.log.Error("version refused; the present versions keep serving, and it is tried again "+when,
		"version", version, "reason", string(r.Reason), "error", err)
}

// forget removes refusals of versions that the store no longer has or the pointer no longer names.
func (m *Manager) forget(st State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for v := range m.refused {
		named := v == st.Pointer.Stable || v == st.Pointer.Previous || st.Pointer.Canary != nil && v == st.Pointer.Canary.Version
		if !named && !(!st.Set && slices.Contains(st.Versions, v)) {
			delete(m.refused, v)
		}
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
