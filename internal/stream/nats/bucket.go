package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"gavel/internal/stream"
)

// Bucket implements stream.Buckets.
func (s *Stream) Bucket(ctx context.Context, o stream.BucketOptions) (stream.Bucket, error) {
	kv, err := s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:      o.Name,
		Description: o.Description,
		History:     1,
		TTL:         o.TTL,
		MaxBytes:    o.MaxBytes,
		Replicas:    max(o.Replicas, 1),
		Storage:     jetstream.FileStorage,
	})
	if err != nil {
		return nil, fmt.Errorf("nats: cannot open bucket %s: %w", o.Name, err)
	}
	return &bucket{kv}, nil
}

type bucket struct{ kv jetstream.KeyValue }

// Get implements stream.Bucket.
func (b *bucket) Get(ctx context.Context, key string) ([]byte, uint64, error) {
	got, err := b.kv.Get(ctx, key)
	if err != nil {
		return nil, 0, translate(err)
	}
	return got.Value(), got.Revision(), nil
}

// Put implements stream.Bucket.
func (b *bucket) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	revision, err := b.kv.Put(ctx, key, value)
	return revision, translate(err)
}

// Swap implements stream.Bucket.
func (b *bucket) Swap(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	var err error
	if revision == 0 {
		revision, err = b.kv.Create(ctx, key, value)
	} else {
		revision, err = b.kv.Update(ctx, key, value, revision)
	}
	return revision, translate(err)
}

// Keys implements stream.Bucket.
func (b *bucket) Keys(ctx context.Context) ([]string, error) {
	lister, err := b.kv.ListKeys(ctx)
	if err != nil {
		return nil, translate(err)
	}
	defer func() { _ = lister.Stop() }()
	var keys []string
	for key := range lister.Keys() {
		keys = append(keys, key)
	}
	if ctx.Err() != nil { // the list was cut short
		return nil, ctx.Err()
	}
	slices.Sort(keys)
	return keys, nil
}

// translate wraps JetStream's errors in package stream's.
func translate(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("%w: %w", stream.ErrNotFound, err)
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch): // a bucket with replicas returns only the latter
		return fmt.Errorf("%w: %w", stream.ErrConflict, err)
	}
	return err
}
