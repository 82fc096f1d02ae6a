// Package memory is a stream in the memory of one process, for tests. It fulfils the whole contract of package stream. A
// test can make it unreachable, trim it, and lose acknowledgements. It keeps everything that is not trimmed. It uses only the
// clock that it is given, so it works in testing/synctest.
package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gavel/internal/stream"
)

// Stream is a stream and its buckets. It starts reachable and empty. Safe for concurrent use.
type Stream struct {
	now func() time.Time

	mu       sync.Mutex // guards what follows
	up       bool
	changed  chan struct{} // closed, and replaced, when up changes
	grown    chan struct{} // closed, and replaced, when a message is stored
	entries  []stream.Entry
	last     stream.Cursor
	lastTime time.Time
	stored   map[string]time.Time // when each ID was stored last
	loseAcks int
	buckets  map[string]*bucket
}

// New returns an empty stream. now is its clock; nil means the system's.
func New(now func() time.Time) *Stream {
	if now == nil {
		now = time.Now
	}
	return &Stream{
		now: now, up: true, changed: make(chan struct{}), grown: make(chan struct{}),
		stored: make(map[string]time.Time), buckets: make(map[string]*bucket),
	}
}

// SetUp makes the stream and its buckets reachable or unreachable.
func (s *Stream) SetUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up != up {
		s.up = up
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// LoseAcks makes the stream store the next n messages without an acknowledgement.
func (s *Stream) LoseAcks(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseAcks = n
}

// Trim removes the messages before a cursor, as a stream's bounds on age and size do.
func (s *Stream) Trim(first stream.Cursor) {
	s.discard(func(e stream.Entry) bool { return e.At.Compare(first) < 0 })
}

// Remove removes one message, as damage does.
func (s *Stream) Remove(at stream.Cursor) {
	s.discard(func(e stream.Entry) bool { return e.At == at })
}

func (s *Stream) discard(gone func(stream.Entry) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = slices.DeleteFunc(s.entries, gone)
}

// errLost is what Publish returns for LoseAcks.
var errLost = errors.New("memory: an acknowledgement was lost")

// Publish implements stream.Stream.
func (s *Stream) Publish(ctx context.Context, messages []stream.Message) (acked []bool, err error) {
	acked = make([]bool, len(messages))
	for _, m := range messages {
		if len(m.Data) > stream.MaxMessageBytes {
			return acked, fmt.Errorf("%w: %q has %d bytes, at most %d", stream.ErrTooLarge, m.ID, len(m.Data), stream.MaxMessageBytes)
		}
	}
	if ctx.Err() != nil {
		return acked, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return acked, stream.ErrAway
	}
	for i, m := range messages {
		s.store(m)
		if s.loseAcks > 0 {
			s.loseAcks--
			err = errLost
			continue
		}
		acked[i] = true
	}
	close(s.grown)
	s.grown = make(chan struct{})
	return acked, err
}

// store appends a message, unless its ID was stored within DuplicateWindow. The caller holds the lock.
func (s *Stream) store(m stream.Message) {
	now := s.now()
	if at, ok := s.stored[m.ID]; ok && now.Sub(at) < stream.DuplicateWindow {
		return
	}
	s.stored[m.ID] = now
	s.last, s.lastTime = s.last.Next(), now
	m.Data = slices.Clone(m.Data)
	s.entries = append(s.entries, stream.Entry{Message: m, At: s.last, Time: now})
}

// State implements stream.Stream.
func (s *Stream) State(context.Context) (stream.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return stream.State{}, stream.ErrAway
	}
	state := stream.State{First: s.last.Next(), Last: s.last, Messages: uint64(len(s.entries)), LastTime: s.lastTime}
	if len(s.entries) > 0 {
		state.First = s.entries[0].At
	}
	return state, nil
}

// Up implements stream.Stream.
func (s *Stream) Up() (bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up, s.changed
}

// WaitUp implements stream.Stream.
func (s *Stream) WaitUp(ctx context.Context) error {
	for {
		up, changed := s.Up()
		if up {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", stream.ErrAway, ctx.Err())
		}
	}
}

// Open implements stream.Stream.
func (s *Stream) Open(ctx context.Context, from stream.Cursor) (stream.Reader, error) {
	if err := s.WaitUp(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from.IsZero() {
		from = from.Next()
	}
	if from.Compare(s.last.Next()) > 0 {
		return nil, fmt.Errorf("%w: %s was asked for, the stream ends at %s", stream.ErrAhead, from, s.last)
	}
	return &reader{s: s, next: from, last: s.last, done: make(chan struct{})}, nil
}

// OpenSince implements stream.Stream.
func (s *Stream) OpenSince(ctx context.Context, since time.Time) (stream.Reader, error) {
	if err := s.WaitUp(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.entries, since, func(e stream.Entry, t time.Time) int { return e.Time.Compare(t) })
	next := s.last.Next()
	if i < len(s.entries) {
		next = s.entries[i].At
	}
	return &reader{s: s, next: next, last: s.last, done: make(chan struct{})}, nil
}

type reader struct {
	s          *Stream
	next, last stream.Cursor
	once       sync.Once
	done       chan struct{} // closed by Close
}

// Last implements stream.Reader.
func (r *reader) Last() stream.Cursor { return r.last }

// Close implements stream.Reader.
func (r *reader) Close() error {
	r.once.Do(func() { close(r.done) })
	return nil
}

// Next implements stream.Reader.
func (r *reader) Next(ctx context.Context) (stream.Entry, error) {
	for {
		select {
		case <-r.done:
			return stream.Entry{}, stream.ErrClosed
		default:
		}
		if ctx.Err() != nil {
			return stream.Entry{}, ctx.Err()
		}
		e, ok, changed, grown := r.poll()
		if ok {
			return e, nil
		}
		select {
		case <-changed:
		case <-grown:
		case <-r.done:
		case <-ctx.Done():
		}
	}
}

// poll returns the next entry if there is one, and otherwise the channels to wait for.
func (r *reader) poll() (e stream.Entry, ok bool, changed, grown <-chan struct{}) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.entries, r.next, func(e stream.Entry, c stream.Cursor) int { return e.At.Compare(c) })
	if !s.up || i == len(s.entries) {
		return e, false, s.changed, s.grown
	}
	e = s.entries[i]
	e.Data = slices.Clone(e.Data)
	e.Lost = e.At.Seq() - r.next.Seq()
	r.next = e.At.Next()
	return e, true, nil, nil
}

// Bucket implements stream.Buckets.
func (s *Stream) Bucket(_ context.Context, o stream.BucketOptions) (stream.Bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return nil, stream.ErrAway
	}
	b := s.buckets[o.Name]
	if b == nil {
		b = &bucket{s: s, values: make(map[string]value)}
		s.buckets[o.Name] = b
	}
	b.ttl = cmp.Or(o.TTL, 1<<62)
	return b, nil
}
