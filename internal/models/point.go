package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxTries bounds how often a change of the pointer is tried that others keep overtaking.
const maxTries = 20

// Promote makes a version the stable one; the stable one before becomes previous. A canary of that version ends, any
// other stays, and so does a pin. Promoting the stable version changes nothing else. It returns what the pointer is then.
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

// EndCanary gives the canary's share back to the stable version. Where there is no canary it changes nothing.
func EndCanary(ctx context.Context, s Store, model string) (Pointer, error) {
	return change(ctx, s, model, 0, func(p Pointer) (Pointer, error) {
		p.Canary = nil
		return p, nil
	})
}

// SetPin pins the pointer, for the reason given, at a version: 0 is the stable one. A pin that is there already is replaced.
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

// Unpin lets the trainer promote its exports again. Where there is no pin it changes nothing.
func Unpin(ctx context.Context, s Store, model string) (Pointer, error) {
	return change(ctx, s, model, 0, func(p Pointer) (Pointer, error) {
		p.Pinned = nil
		return p, nil
	})
}

// Rollback exchanges stable and previous and ends any canary; a pin stays. read is the pointer that the caller means, at
// its revision: if another has taken its place, Rollback returns ErrConflict, since "the version before" is another then.
// Without a previous version it returns ErrNoVersion.
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

// change replaces the pointer by what do makes of it, again if another change comes between. Without a pointer, do is
// given what serves then: the highest version but `fresh`, the one that the change is about, as stable.
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

// implied is what serves without a pointer: the highest version, but for one.
func implied(ctx context.Context, s Store, model string, but int64) (p Pointer, err error) {
	versions, err := s.Versions(ctx, model)
	for _, v := range versions {
		if v != but {
			p.Stable = v
		}
	}
	return p, err
}

// NextVersion is one more than the highest version there is or the pointer names, 1 for a new model.
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

// Publish is Place, then Promote unless the pointer is pinned. It returns what the pointer is then: if it is pinned, the
// version waits for a person to promote it. A trainer calls it for each export.
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

// Retain removes old versions, lowest first, until n are left, and returns those it removed. The versions that the
// pointer names stay, and so does the highest. Unless the pointer is pinned, all above the stable one stay too: they may
// be about to serve. What stays counts among the n.
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
