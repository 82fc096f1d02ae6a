package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gavel/internal/stream"
)

// bucket is a map, guarded by its stream's lock.
type bucket struct {
	s        *Stream
	ttl      time.Duration
	values   map[string]value
	revision uint64 // of the last write, over all keys
}

type value struct {
	bytes    []byte
	revision uint64
	at       time.Time
}

// enter takes the lock, which the caller must release, and removes expired values.
func (b *bucket) enter(ctx context.Context, key string) error {
	b.s.mu.Lock()
	now := b.s.now()
	maps.DeleteFunc(b.values, func(_ string, v value) bool { return now.Sub(v.at) >= b.ttl })
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !b.s.up:
		return stream.ErrAway
	case !stream.ValidKey(key):
		return fmt.Errorf("memory: key %q: want letters, digits and - _ . = / with no dot at either end", key)
	}
	return nil
}

// Get implements stream.Bucket.
func (b *bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	err := b.enter(ctx, key)
	defer b.s.mu.Unlock()
	if err != nil {
		return nil, 0, err
	}
	v, ok := b.values[key]
	if !ok {
		return nil, 0, fmt.Errorf("%w: %s", stream.ErrNotFound, key)
	}
	return slices.Clone(v.bytes), v.revision, nil
}

// Put implements stream.Bucket.
func (b *bucket) Put(ctx context.Context, key string, bytes []byte) (uint64, error) {
	err := b.enter(ctx, key)
	defer b.s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return b.set(key, bytes), nil
}

// Swap implements stream.Bucket.
func (b *bucket) Swap(ctx context.Context, key string, bytes []byte, revision uint64) (uint64, error) {
	err := b.enter(ctx, key)
	defer b.s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if now := b.values[key].revision; now != revision {
		return 0, fmt.Errorf("%w: %s is at revision %d, not %d", stream.ErrConflict, key, now, revision)
	}
	return b.set(key, bytes), nil
}

// set writes under the next revision. The caller holds the lock.
func (b *bucket) set(key string, bytes []byte) uint64 {
	b.revision++
	b.values[key] = value{bytes: slices.Clone(bytes), revision: b.revision, at: b.s.now()}
	return b.revision
}

// Keys implements stream.Bucket.
func (b *bucket) Keys(ctx context.Context) ([]string, error) {
	err := b.enter(ctx, "any")
	defer b.s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(b.values)), nil
}
