package scoring

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"unsafe"

	"gavel/internal/engine"
)

const (
	maxJoined = 32  // engines kept at a time
	maxAsked  = 256 // combinations of versions that are remembered until they are asked for again
)

// joins keeps the engines that versions were joined to. An engine is used only by callers that have acquired all its versions, so
// none is in use when one of its versions retires.
type joins struct {
	logger *slog.Logger

	mu    sync.Mutex         // guards all below, and joined.users
	of    map[string]*joined // by the versions
	order []*joined          // the one used last is the last
	asked map[string]bool    // once
}

// joined is versions that run as one.
type joined struct {
	key      string
	versions []*Version
	inputs   []inputOf // of the engine
	users    int

	once    sync.Once
	engine  engine.Joined
	version *Version // has the engine's queue, and nothing else; nil: the versions cannot be joined
}

// inputOf is a column of a part.
type inputOf struct{ part, column int }

// take returns the engine of the parts' versions, until give; nil if they are to be scored alone.
func (s *joins) take(parts []*Together) *joined {
	key := make([]byte, 0, 1024)
	for _, p := range parts {
		key = binary.LittleEndian.AppendUint64(key, uint64(uintptr(unsafe.Pointer(p.Version))))
	}
	s.mu.Lock()
	j, ok := s.of[string(key)]
	if !ok {
		if j = s.add(string(key), parts); j == nil {
			s.mu.Unlock()
			return nil
		}
	}
	j.users++
	i := slices.Index(s.order, j)
	s.order = append(slices.Delete(s.order, i, i+1), j)
	s.mu.Unlock()
	j.once.Do(func() { j.open(s.logger) })
	if j.version == nil {
		s.give(j)
		return nil
	}
	return j
}

// add adds what is asked for the second time, if there is room. mu is held.
func (s *joins) add(key string, parts []*Together) *joined {
	if !s.asked[key] {
		if len(s.asked) >= maxAsked || s.asked == nil {
			s.asked = map[string]bool{}
		}
		s.asked[key] = true
		return nil
	}
	if len(s.order) >= maxJoined {
		i := slices.IndexFunc(s.order, func(j *joined) bool { return j.users == 0 })
		if i < 0 {
			return nil
		}
		old := s.order[i]
		s.remove(old)
		go old.close(s.logger)
	}
	delete(s.asked, key)
	j := &joined{key: key}
	for _, p := range parts {
		j.versions = append(j.versions, p.Version)
	}
	if s.of == nil {
		s.of = map[string]*joined{}
	}
	s.of[key], s.order = j, append(s.order, j)
	return j
}

func (s *joins) remove(j *joined) {
	delete(s.of, j.key)
	i := slices.Index(s.order, j)
	s.order = slices.Delete(s.order, i, i+1)
}

func (s *joins) give(j *joined) {
	s.mu.Lock()
	j.users--
	s.mu.Unlock()
}

// retire closes the engines that a version has joined.
func (s *joins) retire(v *Version) {
	var closing []*joined
	s.mu.Lock()
	for _, j := range slices.Clone(s.order) {
		if slices.Contains(j.versions, v) {
			s.remove(j)
			closing = append(closing, j)
		}
	}
	s.mu.Unlock()
	for _, j := range closing {
		j.close(s.logger)
	}
}

// open joins the versions and makes a queue for them. It is that of the first version, without calibration.
func (j *joined) open(logger *slog.Logger) {
	var members []engine.Member
	for _, v := range j.versions {
		members = append(members, engine.Member{Name: v.queueOptions.Name, Engine: v.engine})
	}
	e, err := engine.Join(members)
	if err != nil {
		logger.Debug("versions are scored one by one", "error", err)
		return
	}
	options := j.versions[0].queueOptions
	options.Name, options.CalibrationRuns = "joined with "+options.Name, 0
	queue, err := j.versions[0].pool.NewQueue(e, options)
	if err != nil {
		logger.Error("cannot make a queue for versions that are joined", "error", err)
		_ = e.Close() // it has no batches
		return
	}
	j.inputs = make([]inputOf, len(e.Schema().Inputs))
	for p, part := range e.Parts() {
		for column, to := range part.Inputs {
			j.inputs[to] = inputOf{p, column}
		}
	}
	j.engine, j.version = e, &Version{queue: queue}
}

// close is called once nobody uses the engine any more.
func (j *joined) close(logger *slog.Logger) {
	j.once.Do(func() {}) // if it was never opened, it never is
	if j.version == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), retireTimeout)
	defer cancel()
	if err := j.version.queue.Close(ctx); err != nil {
		logger.Error("cannot close the queue of versions that were joined", "error", err)
	}
	_ = j.engine.Close() // if batches are still open, the last one that closes frees it
}
