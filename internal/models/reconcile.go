package models

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"gavel/internal/host"
)

// observe takes what the store says now, and does what needs no loading. It returns true if the rest must be loaded:
// then settle is to be called. The group's watching goroutine calls it.
func (m *Manager) observe(st State) (pending bool) {
	m.mu.Lock()
	was, first := m.state, !m.seen
	m.state, m.seen = st, true
	m.mu.Unlock()
	m.report(was, st, first)
	if st.Err != nil {
		return false
	}
	if !m.turn.TryLock() { // a load is under way: what it leaves undone comes afterwards
		return true
	}
	defer m.turn.Unlock()
	return m.reconcile(false)
}

// settle loads what the last observed state needs, and swaps. It returns true if it is to be called again, since the
// state has changed. A loading goroutine calls it.
func (m *Manager) settle() (again bool) {
	m.turn.Lock()
	defer m.turn.Unlock()
	return m.reconcile(true)
}

// report logs what a person should know of a new state.
func (m *Manager) report(was, st State, first bool) {
	if st.Err != nil && (was.Err == nil || was.Err.Error() != st.Err.Error()) {
		m.log.Error("cannot read the model store; what serves, serves on", "error", st.Err)
	}
	if first && st.Err == nil && len(st.Versions) == 0 {
		m.log.Warn("the store holds no version of the model; it serves when there is one (python -m pytrain init makes a first)",
			"store", m.group.opts.Store.String())
	}
	switch pin := st.Pointer.Pinned; {
	case pin != nil && was.Pointer.Pinned == nil:
		m.log.Info("the pointer is pinned", "version", st.Pointer.Stable, "since", pin.Since, "reason", pin.Reason)
	case pin == nil && was.Pointer.Pinned != nil:
		m.log.Info("the pointer is not pinned any more")
	}
}

// latest is the state that was observed last.
func (m *Manager) latest() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// errUnloaded says that a version must be loaded, by a caller that may not.
var errUnloaded = errors.New("models: the version is not loaded yet")

// reconcile makes what serves what the store says, as far as the versions allow: a refused stable version leaves the
// old one serving, a refused canary leaves its share to the stable one. Where nothing serves yet and the stable
// version is refused, the previous one will do, or without a pointer the next lower. It returns true if it is to be called
// again: by who may load, if mayLoad is false. The caller holds m.turn.
func (m *Manager) reconcile(mayLoad bool) (again bool) {
	st := m.latest()
	if m.ctx.Err() != nil || st.Err != nil {
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
	// While it was loaded, somebody may have gone back to what serves: then it must not serve, not even for a moment.
	if now := m.latest().Pointer; stable != cur.stable && cur.stable != nil && now.Stable == cur.stable.Version() && now.Stable != st.Pointer.Stable {
		m.drop(cur, stable)
		return true
	}
	// The stable version goes into service before the canary is loaded: it may be what the pointer fled to.
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

// serve swaps and says so.
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

// drop gives up a version that was loaded and will not serve.
func (m *Manager) drop(cur *serving, s *Servable) {
	if s != nil && s != cur.stable && s != cur.canary {
		s.Release()
	}
}

// fallbacks are the versions to try, in order, when the stable one is refused and nothing serves.
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

// obtain returns the version, loaded already or now, or nil if it is refused. It returns errUnloaded if it would have to be
// loaded and must not.
func (m *Manager) obtain(cur *serving, version int64, mayLoad bool) (*Servable, error) {
	for _, s := range []*Servable{cur.stable, cur.canary} {
		if s != nil && s.Version() == version {
			return s, nil
		}
	}
	stamp := stampOf(m.ctx, m.group.opts.Store, m.opts.Model, version) // before reading: what changes meanwhile is tried again
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
	// Before anything serves there is nothing to be kind to, and threads that an engine keeps for good inherit the
	// priority of the first load.
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
	m.metrics.loadSeconds.Observe(s.loadTime.Seconds())
	m.log.Info("version loaded", "version", version, "load_ms", s.loadTime.Milliseconds(), "rows_learnt", s.manifest.Training.Rows)
	if len(s.unwarmed) > 0 {
		m.log.Warn("the warm-up took its whole time; larger batches are slow once", "version", version,
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
	if err := m.opts.Prepare(m.ctx, s); err != nil {
		s.Release()
		return nil, refuse(ReasonPrepare, err)
	}
	return s, nil
}

// inLowThread runs do in a thread of low priority and waits for it.
func inLowThread(nice int, do func()) {
	done := make(chan struct{})
	host.GoNice(nice, func(error) { // refused by a sandbox at worst; then it is as kind as it can be
		defer close(done)
		do()
	})
	<-done
}

// What may pass by itself is tried again after the first of these pauses, then after twice as long each time, up to the
// second.
const retryFirst, retryMost = 2 * time.Second, time.Minute

// mayPass says whether a refusal may not be the version's fault: the files could not be read or fetched, or we failed.
func (r Reason) mayPass() bool { return r == ReasonInternal || r == Reason(FaultRead) }

// refuse counts a refusal, and logs it unless the last attempt met the same. It has what may pass tried again later.
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
	m.log.Error("version refused; what serves, serves on, and it is tried again "+when,
		"version", version, "reason", string(r.Reason), "error", err)
}

// forget drops what is remembered of versions that the store no longer has or the pointer no longer names.
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
