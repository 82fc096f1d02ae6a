package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxTries bounds the attempts to change the pointer while others change it.
const maxTries = 20

// Promote makes a version the stable one. The former stable version becomes previous. A canary of the promoted version
// ends; another canary stays, and so does a pin. If the version is stable already, only its canary ends. Promote returns the new pointer.
func Promote(ctx context.Context, s Store, model string, version int64) (Pointer, error) {
	return change(ctx, s, model, version, func(p Pointer) (Pointer, error) { return p.promoted(version), nil })
}

func (p Pointer) promoted(version int64) Pointer {
	if p.Stable != version {
		p.Stable, p.Previous = version, p.Stable
	}
	if p.Canary != nil && p.Canary.Version == version {
		p.Canary = nil
	}
	return p
}

// SetCanary lets a version serve a share of keys, in (0, 1], beside the stable one.
func SetCanary(ctx context.Context, s Store, model string, version int64, share float64) (Pointer, error) {
	return change(ctx, s, model, version, func(p Pointer) (Pointer, error) {
		p.Canary = &Canary{Version: version, Share: share}
		return p, nil
	})
}

// EndCanary gives the canary's share back to the stable version. If there is no canary, it changes nothing.
func EndCanary(ctx context.Context, s Store, model string) (Pointer, error) {
	return change(ctx, s, model, 0, func(p Pointer) (Pointer, error) {
		p.Canary = nil
		return p, nil
	})
}

// SetPin pins the pointer at a version, for a reason; version 0 means the stable one. It replaces an existing pin.
func SetPin(ctx context.Context, s Store, model string, version int64, reason string) (Pointer, error) {
	since := time.Now().UTC().Truncate(time.Second)
	return change(ctx, s, model, version, func(p Pointer) (Pointer, error) {
		if version != 0 {
			p = p.promoted(version)
		}
		p.Pinned = &Pin{Since: since, Reason: reason}
		return p, nil
	})
}

// Unpin lets the trainer promote its exports again. If there is no pin, it changes nothing.
func Unpin(ctx context.Context, s Store, model string) (Pointer, error) {
	return change(ctx, s, model, 0, func(p Pointer) (Pointer, error) {
		p.Pinned = nil
		return p, nil
	})
}

// Rollback exchanges stable and previous and ends any canary; a pin stays. read is the pointer that the caller has read, at
// its revision. If the pointer has changed since, "previous" may mean another version, so Rollback returns ErrConflict.
// If there is no previous version, it returns ErrNoVersion.
func Rollback(ctx context.Context, s Store, model string, read Pointer, at Revision) (Pointer, error) {
	if read.Previous == 0 {
		return Pointer{}, fmt.Errorf("models: cannot roll %s back: its pointer names no previous version: %w; promote one by its number", model, ErrNoVersion)
	}
	p := Pointer{Stable: read.Previous, Previous: read.Stable, Pinned: read.Pinned}
	if err := s.SetPointer(ctx, model, p, at); err != nil {
		return Pointer{}, fmt.Errorf("models: cannot roll %s back: %w", model, err)
	}
	return p, nil
}

// change replaces the pointer by do's result, and tries again if another change comes between. If there is no pointer, do
// gets a pointer to the version that serves then: the highest one other than `fresh`, the version of the change.
func change(ctx context.Context, s Store, model string, fresh int64, do func(Pointer) (Pointer, error)) (Pointer, error) {
	for range maxTries {
		old, at, err := s.Pointer(ctx, model)
		if errors.Is(err, ErrNoPointer) {
			old, err = implied(ctx, s, model, fresh)
		}
		if err != nil {
			return Pointer{}, err
		}
		p, err := do(old)
		if err != nil {
			return Pointer{}, err
		}
		if p.Equal(old) {
			return p, nil
		}
		err = s.SetPointer(ctx, model, p, at)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Pointer{}, err
		}
	}
	return Pointer{}, fmt.Errorf("models: cannot change the pointer of %s: others changed it %d times in a row: %w", model, maxTries, ErrConflict)
}

// implied returns the pointer that holds if none is set: its stable version is the highest one other than `but`.
func implied(ctx context.Context, s Store, model string, but int64) (p Pointer, err error) {
	versions, err := s.Versions(ctx, model)
	for _, v := range versions {
		if v != but {
			p.Stable = v
		}
	}
	return p, err
}

// NextVersion is one more than the highest version that exists or that the pointer names; 1 for a new model.
func NextVersion(ctx context.Context, s Store, model string) (int64, error) {
	versions, err := s.Versions(ctx, model)
	if err != nil {
		return 0, err
	}
	next := int64(1)
	if n := len(versions); n > 0 {
		next = versions[n-1] + 1
	}
	p, _, err := s.Pointer(ctx, model)
	if err != nil && !errors.Is(err, ErrNoPointer) {
		return 0, err
	}
	for _, v := range p.names() {
		next = max(next, v+1)
	}
	return next, nil
}

// Place makes the staged directory a version without pointing at it. It must pass VerifyVersion.
func Place(ctx context.Context, s Store, model string, version int64, staged string) error {
	if err := CheckVersion(model, version); err != nil {
		return err
	}
	if _, err := VerifyVersion(staged, model, version); err != nil {
		return fmt.Errorf("models: cannot publish %s version %d: %w", model, version, err)
	}
	return s.Put(ctx, model, version, staged)
}

// Publish calls Place, and then Promote unless the pointer is pinned. It returns the pointer. If the pointer is pinned, the
// version waits until a person promotes it. A trainer calls Publish for each export.
func Publish(ctx context.Context, s Store, model string, version int64, staged string) (Pointer, error) {
	if err := Place(ctx, s, model, version, staged); err != nil {
		return Pointer{}, err
	}
	return change(ctx, s, model, version, func(p Pointer) (Pointer, error) {
		if p.Pinned != nil {
			return p, nil
		}
		return p.promoted(version), nil
	})
}

// Retain removes old versions, lowest first, until n are left, and returns those removed. It keeps the versions that the
// pointer names, and the highest one. Unless the pointer is pinned, it also keeps all versions above the stable one, which
// may soon serve. Versions that are kept count among the n.
func Retain(ctx context.Context, s Store, model string, n int) (removed []int64, err error) {
	versions, err := s.Versions(ctx, model)
	if err != nil || len(versions) <= n {
		return nil, err
	}
	highest := versions[len(versions)-1]
	p, at, err := s.Pointer(ctx, model)
	if errors.Is(err, ErrNoPointer) {
		p, err = Pointer{Stable: highest}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("models: cannot prune %s without knowing what serves: %w", model, err)
	}
	for _, v := range versions {
		if len(versions)-len(removed) <= n {
			break
		}
		if v == highest || v > p.Stable && p.Pinned == nil || slices.Contains(p.names(), v) {
			continue
		}
		removed = append(removed, v)
	}
	if len(removed) == 0 {
		return nil, nil
	}
	if err := s.Remove(ctx, model, removed, at); err != nil {
		return nil, fmt.Errorf("models: cannot prune %s: %w", model, err)
	}
	return removed, nil
}
