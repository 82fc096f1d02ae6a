package streamtest

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"gavel/internal/stream"
)

// RunBuckets runs the suite of stream.Buckets. open returns an empty store that is closed when the test ends.
func RunBuckets(t *testing.T, open func(t *testing.T) stream.Buckets) {
	bucket := func(t *testing.T, o stream.BucketOptions) stream.Bucket {
		t.Helper()
		b, err := open(t).Bucket(within(t, patience), o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Run("values", func(t *testing.T) { testValues(t, bucket(t, stream.BucketOptions{Name: "B"})) })
	t.Run("swap", func(t *testing.T) { testSwap(t, bucket(t, stream.BucketOptions{Name: "B"})) })
	t.Run("race", func(t *testing.T) { testSwapRace(t, bucket(t, stream.BucketOptions{Name: "B"})) })
	t.Run("cancel", func(t *testing.T) { testBucketCancel(t, bucket(t, stream.BucketOptions{Name: "B"})) })
	t.Run("time to live", func(t *testing.T) {
		testTTL(t, bucket(t, stream.BucketOptions{Name: "B", TTL: 500 * time.Millisecond, MaxBytes: 1 << 20}))
	})
	t.Run("two of a name", func(t *testing.T) { testSharedBucket(t, open(t)) })
}

func testValues(t *testing.T, b stream.Bucket) {
	ctx := within(t, patience)
	if _, _, err := b.Get(ctx, "none"); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
	if keys, err := b.Keys(ctx); err != nil || len(keys) != 0 {
		t.Errorf("keys of an empty bucket: %v, %v", keys, err)
	}
	sent := []byte("one")
	first, err := b.Put(ctx, "b.key", sent)
	if err != nil || first == 0 {
		t.Fatalf("revision %d, %v", first, err)
	}
	clear(sent)
	got, revision, err := b.Get(ctx, "b.key")
	if err != nil || string(got) != "one" || revision != first {
		t.Fatalf("got %q at %d, %v; want one at %d", got, revision, err, first)
	}
	second, err := b.Put(ctx, "b.key", []byte("two"))
	if err != nil || second <= first {
		t.Fatalf("revision %d after %d, %v", second, first, err)
	}
	if got, _, err = b.Get(ctx, "b.key"); err != nil || string(got) != "two" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := b.Put(ctx, "a.key", nil); err != nil {
		t.Fatal(err)
	}
	if got, _, err := b.Get(ctx, "a.key"); err != nil || len(got) != 0 {
		t.Errorf("an empty value: %q, %v", got, err)
	}
	if keys, err := b.Keys(ctx); err != nil || !slices.Equal(keys, []string{"a.key", "b.key"}) {
		t.Errorf("keys %v, %v", keys, err)
	}
	for _, bad := range []string{"", ".a", "a.", "a b", "a*"} {
		if _, err := b.Put(ctx, bad, []byte("x")); err == nil || stream.ValidKey(bad) {
			t.Errorf("key %q was taken", bad)
		}
	}
}

func testSwap(t *testing.T, b stream.Bucket) {
	ctx := within(t, patience)
	first, err := b.Swap(ctx, "k", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, revision uint64) {
		t.Helper()
		if _, err := b.Swap(ctx, "k", []byte("no"), revision); !errors.Is(err, stream.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("created twice", 0)
	second, err := b.Swap(ctx, "k", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatalf("revision %d after %d: %v", second, first, err)
	}
	f("an old revision", first)
	f("a revision that is not there yet", second+10)
	if _, err := b.Swap(ctx, "other", []byte("x"), second); !errors.Is(err, stream.ErrConflict) {
		t.Errorf("a key that does not exist, at a revision: %v", err)
	}
	if got, now, err := b.Get(ctx, "k"); err != nil || string(got) != "2" || now != second {
		t.Errorf("got %q at %d, %v", got, now, err)
	}
}

// Of concurrent swaps one succeeds, so a counter counts every successful swap.
func testSwapRace(t *testing.T, b stream.Bucket) {
	ctx := within(t, patience)
	const racers, each = 4, 15
	var wg sync.WaitGroup
	for range racers {
		wg.Go(func() {
			for taken := 0; taken < each; {
				bytes, revision, err := b.Get(ctx, "count")
				if errors.Is(err, stream.ErrNotFound) {
					bytes, err = make([]byte, 8), nil
				}
				if err != nil {
					t.Error(err)
					return
				}
				n := binary.LittleEndian.Uint64(bytes) + 1
				_, err = b.Swap(ctx, "count", binary.LittleEndian.AppendUint64(nil, n), revision)
				switch {
				case err == nil:
					taken++
				case !errors.Is(err, stream.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	bytes, _, err := b.Get(ctx, "count")
	if err != nil || binary.LittleEndian.Uint64(bytes) != racers*each {
		t.Errorf("counted %v, %v; want %d", bytes, err, racers*each)
	}
}

func testBucketCancel(t *testing.T, b stream.Bucket) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := b.Put(ctx, "k", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if _, err := b.Swap(ctx, "k", nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Swap: %v", err)
	}
	if _, err := b.Keys(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Keys: %v", err)
	}
}

// A value expires its TTL after its last change.
func testTTL(t *testing.T, b stream.Bucket) {
	ctx := within(t, patience)
	if _, err := b.Put(ctx, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(ctx, "k"); err != nil {
		t.Fatalf("gone at once: %v", err)
	}
	for poll := time.NewTicker(20 * time.Millisecond); ; <-poll.C {
		_, _, err := b.Get(ctx, "k")
		if errors.Is(err, stream.ErrNotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Swap(ctx, "k", []byte("y"), 0); err != nil {
		t.Errorf("a key that ran out cannot be made again: %v", err)
	}
}

// Two callers that open a bucket of one name share it; another name is another bucket.
func testSharedBucket(t *testing.T, s stream.Buckets) {
	ctx := within(t, patience)
	open := func(name string) stream.Bucket {
		t.Helper()
		b, err := s.Bucket(ctx, stream.BucketOptions{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, two, other := open("B"), open("B"), open("C")
	if _, err := one.Put(ctx, "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := two.Get(ctx, "k"); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, _, err := other.Get(ctx, "k"); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("another bucket: %v", err)
	}
}
