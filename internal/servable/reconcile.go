package servable

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gavel/internal/host"
	"gavel/internal/modelstore"
)

// watchLoop acts on what the store says until ctx ends, which closes states.
func (m *Manager) watchLoop(ctx context.Context, states <-chan modelstore.State) {
	for st := range states {
		if ctx.Err() != nil {
			return
		}
		m.mu.Lock()
		if st.Err != nil && (m.state.Err == nil || m.state.Err.Error() != st.Err.Error()) {
			m.opts.Logger.Error("cannot read the model store; what serves, serves on", "model", m.opts.Model, "error", st.Err)
		}
		m.state = st
		m.mu.Unlock()
		if st.Err == nil {
			m.reconcile(ctx, st)
		}
	}
}

// reconcile makes what serves what the store says, as far as the versions allow: a refused stable version leaves the
// old one serving, a refused canary leaves its share to the stable one. Where nothing serves yet and the stable
// version is refused, the previous one will do, or without a pointer the next lower.
func (m *Manager) reconcile(ctx context.Context, st modelstore.State) {
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
		if s := m.obtain(ctx, cur, v); s != nil {
			stable = s
			break
		}
	}
	if stable == nil || ctx.Err() != nil {
		m.drop(cur, stable)
		return
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
	if share > 0 && canary == nil {
		if canary = m.obtain(ctx, m.current.Load(), st.Pointer.Canary.Version); canary != nil {
			m.serve(newServing(stable, canary, share))
		}
	}
}

// serve swaps and says so.
func (m *Manager) serve(next *serving) {
	args := []any{"model", m.opts.Model, "version", next.stable.Version(), "age_s", int64(next.stable.Age().Seconds())}
	if old := m.current.Load(); old != nil {
		args = append(args, "was", old.stable.Version())
	}
	if next.canary != nil {
		args = append(args, "canary", next.canary.Version(), "canary_share", next.share)
	}
	m.swap(next)
	m.opts.Logger.Info("serving", args...)
}

// drop gives up a version that was loaded and will not serve.
func (m *Manager) drop(cur *serving, s *Servable) {
	if s != nil && s != cur.stable && s != cur.canary {
		s.Release()
	}
}

// fallbacks are the versions to try, in order, when the stable one is refused and nothing serves.
func fallbacks(st modelstore.State) []int64 {
	if st.FromFile {
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

// obtain returns the version, loaded already or now, or nil if it is refused.
func (m *Manager) obtain(ctx context.Context, cur *serving, version int64) *Servable {
	for _, s := range []*Servable{cur.stable, cur.canary} {
		if s != nil && s.Version() == version {
			return s
		}
	}
	dir, err := m.opts.Store.VersionDir(m.opts.Model, version)
	if err != nil {
		m.refuse(version, 0, refuse(ReasonInternal, err))
		return nil
	}
	stamp := modelstore.Stamp(dir) // before reading: what changes meanwhile is tried again
	m.mu.Lock()
	r := m.refused[version]
	m.mu.Unlock()
	if r != nil && r.stamp == stamp || ctx.Err() != nil {
		return nil
	}
	s, err := m.load(ctx, dir, version, cur.stable != nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		m.refuse(version, stamp, err)
		return nil
	}
	m.mu.Lock()
	delete(m.refused, version)
	m.mu.Unlock()
	return s
}

// load loads and prepares a version, at low priority while another serves.
func (m *Manager) load(ctx context.Context, dir string, version int64, serving bool) (*Servable, error) {
	if modelstore.Stamp(dir) == 0 {
		return nil, refuse(ReasonMissing, fmt.Errorf("%s is not there or can't be read", dir))
	}
	var s *Servable
	var err error
	do := func() { s, err = m.loadPrepared(ctx, dir, version) }
	// Before anything serves there is nothing to be kind to, and TensorFlow's pools, which inherit the priority of the
	// first load, keep theirs for good.
	if serving && m.opts.Nice > 0 {
		inLowThread(m.opts.Nice, do)
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
	m.opts.Logger.Info("version loaded", "model", s.Model(), "version", version, "load_ms", s.loadTime.Milliseconds(),
		"rows_learnt", s.manifest.Training.Rows)
	return s, nil
}

func (m *Manager) loadPrepared(ctx context.Context, dir string, version int64) (*Servable, error) {
	s, err := Load(ctx, dir, m.opts.Model, version, m.opts.Load)
	if err != nil {
		return nil, err
	}
	if err := m.opts.Prepare(ctx, s); err != nil {
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

// refuse counts a refusal, and logs it unless the last attempt met the same.
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
	m.refused[version] = next
	if last != nil && last.Error == next.Error {
		return
	}
	m.opts.Logger.Error("version refused; what serves, serves on, and it is tried again when its files change",
		"model", m.opts.Model, "version", version, "reason", string(r.Reason), "error", err)
}

// forget drops what is remembered of versions that the store no longer has or the pointer no longer names.
func (m *Manager) forget(st modelstore.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for v := range m.refused {
		named := v == st.Pointer.Stable || v == st.Pointer.Previous || st.Pointer.Canary != nil && v == st.Pointer.Canary.Version
		if !named && !(!st.FromFile && slices.Contains(st.Versions, v)) {
			delete(m.refused, v)
		}
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
