package leases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gavel/internal/auction"
	"gavel/internal/stream"
)

// keep is how long the bucket keeps an entry after its last change. Entries of past days are not needed.
const keep = 72 * time.Hour

// maxSwaps bounds the attempts to change an entry while others change it.
const maxSwaps = 32

var errContended = errors.New("leases: other bidders changed the entry during every attempt")

func (m *Manager) open(ctx context.Context) error {
	if m.bucket != nil {
		return nil
	}
	bucket, err := m.o.Buckets.Bucket(ctx, stream.BucketOptions{
		Name:        m.o.Bucket,
		Description: "what each bidder may spend of each campaign's day",
		TTL:         keep,
		MaxBytes:    256 << 20,
		Replicas:    m.o.Replicas,
	})
	if err != nil {
		return fmt.Errorf("leases: cannot open bucket %s: %w", m.o.Bucket, err)
	}
	m.bucket = bucket
	return nil
}

// swap changes an entry by f. If another bidder changed the entry meanwhile, swap tries again. f returns false to leave the
// entry unchanged. If the outcome of a write is not known, swap calls f again with the bucket's entry.
func (m *Manager) swap(ctx context.Context, h holding, f func(*entry) bool) error {
	key := entryKey(h)
	for range maxSwaps {
		e := &entry{Leases: make(map[string]part)}
		value, revision, err := m.bucket.Get(ctx, key)
		switch {
		case errors.Is(err, stream.ErrNotFound): // a swap at revision 0 creates it
		case err != nil:
			return fmt.Errorf("leases: cannot read the budget of %q on %s: %w", h.campaign, h.day, err)
		default:
			if e, err = decodeEntry(value); err != nil {
				return fmt.Errorf("%w, key %s of bucket %s", err, key, m.o.Bucket)
			}
		}
		if !f(e) {
			return nil
		}
		_, err = m.bucket.Swap(ctx, key, e.encode(), revision)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, stream.ErrConflict):
			m.m.conflicts.Inc()
		default:
			return fmt.Errorf("leases: cannot write the budget of %q on %s: %w", h.campaign, h.day, err)
		}
	}
	return fmt.Errorf("%w: %q on %s", errContended, h.campaign, h.day)
}

// beat renews our heartbeat. The heartbeat is valid until the given time.
func (m *Manager) beat(ctx context.Context, until time.Time) error {
	b, err := json.Marshal(heartbeat{Run: m.run, Expires: until.UnixMilli(), Host: m.host, PID: m.pid})
	if err != nil {
		return err
	}
	if _, err := m.bucket.Put(ctx, heartbeatKey(m.o.Bidder), b); err != nil {
		return fmt.Errorf("leases: cannot renew the heartbeat of %q: %w", m.o.Bidder, err)
	}
	return nil
}

// dead reports whether a bidder's lease may be settled. A heartbeat is read again only when the last one read has expired.
func (m *Manager) dead(ctx context.Context, bidder string, now time.Time) (bool, error) {
	if !m.beats[bidder].deadAt(now, m.o.Grace) {
		return false, nil
	}
	value, _, err := m.bucket.Get(ctx, heartbeatKey(bidder))
	if errors.Is(err, stream.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("leases: cannot read the heartbeat of %q: %w", bidder, err)
	}
	var h heartbeat
	if err := json.Unmarshal(value, &h); err != nil {
		return false, fmt.Errorf("leases: heartbeat of %q damaged: %w", bidder, err)
	}
	m.beats[bidder] = h
	return h.deadAt(now, m.o.Grace), nil
}

// spentOf returns what a dead bidder spent of a campaign. A round asks the event stream once for each bidder and day.
func (m *Manager) spentOf(ctx context.Context, cache map[string]map[string]auction.Micros, bidder string, h holding) (auction.Micros, error) {
	if m.o.SpentOf == nil {
		return 0, nil
	}
	key := h.day.String() + " " + bidder
	spent, ok := cache[key]
	if !ok {
		var err error
		if spent, err = m.o.SpentOf(ctx, bidder, h.day); err != nil {
			return 0, err
		}
		cache[key] = spent
	}
	return spent[h.campaign], nil
}
