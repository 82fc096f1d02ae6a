package stream

import (
	"context"
	"errors"
	"strings"
	"time"
)

var (
	// ErrNotFound means that a bucket has no value under a key, or has it no longer.
	ErrNotFound = errors.New("stream: no such key")
	// ErrConflict means that a key was changed since the revision that a swap named, or exists already.
	ErrConflict = errors.New("stream: key changed by another")
)

// Buckets opens key-value stores. A form of Stream need not be one.
type Buckets interface {
	// Bucket opens the bucket of that name, and makes it, or gives it these options, if need be.
	Bucket(ctx context.Context, o BucketOptions) (Bucket, error)
}

// BucketOptions set a bucket up.
type BucketOptions struct {
	Name        string // letters, digits, - and _
	Description string // for people who list buckets
	// TTL is how long a value is kept after its last change. 0: for ever.
	TTL      time.Duration
	MaxBytes int64 // of all values; 0: no bound
	Replicas int   // where the form has any; 0: 1
}

// Bucket is a key-value store that several processes share. Keys are as ValidKey says. A write that returned no error
// is stored, and every later read anywhere sees it. A write that failed otherwise than by ErrConflict may be stored
// nevertheless: read before trying again. All methods return ErrAway, ctx's error or the form's own where the bucket
// cannot be reached. Safe for concurrent use.
type Bucket interface {
	// Get returns the value of key, which the caller owns, and its revision, from 1. It returns ErrNotFound.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put sets key whatever it held.
	Put(ctx context.Context, key string, value []byte) (revision uint64, err error)
	// Swap sets key if its revision is still the one given, or, given 0, if it does not exist. Else it returns
	// ErrConflict and changes nothing.
	Swap(ctx context.Context, key string, value []byte, revision uint64) (now uint64, err error)
	// Keys lists the keys there are, sorted.
	Keys(ctx context.Context) ([]string, error)
}

// ValidKey says whether a bucket takes a key: ASCII letters, digits and - _ . = / with no dot at either end.
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
