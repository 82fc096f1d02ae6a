package stream

import (
	"context"
	"errors"
	"strings"
	"time"
)

var (
	// ErrNotFound means that a bucket has no value under a key, or that the value has expired.
	ErrNotFound = errors.New("stream: no such key")
	// ErrConflict means that a key has changed since the revision given to Swap, or exists already.
	ErrConflict = errors.New("stream: key changed by another")
)

// Buckets opens key-value stores. An implementation of Stream need not implement it.
type Buckets interface {
	// Bucket opens the bucket of that name. If needed, it creates the bucket or changes its options.
	Bucket(ctx context.Context, o BucketOptions) (Bucket, error)
}

// BucketOptions configures a bucket.
type BucketOptions struct {
	Name        string // letters, digits, - and _
	Description string // for people who list buckets
	// TTL is how long a value is kept after its last change. 0: for ever.
	TTL      time.Duration
	MaxBytes int64 // of all values; 0: no bound
	Replicas int   // if the implementation has any; 0: 1
}

// Bucket is a key-value store that several processes share. ValidKey says which keys are valid. If a write returned no
// error, it is stored, and every later read anywhere sees it. If a write failed with an error other than ErrConflict, it
// may be stored nevertheless: read before trying again. If the bucket cannot be reached, methods return ErrAway, ctx's
// error or the implementation's own. Safe for concurrent use.
type Bucket interface {
	// Get returns the value of key, which the caller owns, and its revision, from 1. It returns ErrNotFound.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put sets key unconditionally.
	Put(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Swap sets key if its revision is still the one given; revision 0 means that key must not exist. Otherwise it
	// changes nothing and returns ErrConflict.
	Swap(ctx context.Context, key string, value []byte, revision uint64) (now uint64, err error)
	// Keys lists all keys, sorted.
	Keys(ctx context.Context) ([]string, error)
}

// ValidKey reports whether a key is valid: ASCII letters, digits and - _ . = / without a dot at either end.
func ValidKey(key string) bool {
	const signs = "-_.=/"
	if key == "" || key[0] == '.' || key[len(key)-1] == '.' {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(signs, c) < 0 {
			return false
		}
	}
	return true
}
