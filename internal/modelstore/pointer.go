package modelstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxPointerBytes bounds pointer.json.
const maxPointerBytes = 64 << 10

// Pointer names what serves. The zero Pointer names nothing.
type Pointer struct {
	Stable   int64   `json:"stable"`
	Canary   *Canary `json:"canary"`
	Previous int64   `json:"previous"` // stable before the last change, 0 if none: where Rollback goes
}

// Canary is a version that serves a share of keys beside the stable one.
type Canary struct {
	Version int64   `json:"version"`
	Share   float64 `json:"share"` // of keys, in (0, 1]
}

// Equal says whether both name the same.
func (p Pointer) Equal(q Pointer) bool {
	if p.Stable != q.Stable || p.Previous != q.Previous || (p.Canary == nil) != (q.Canary == nil) {
		return false
	}
	return p.Canary == nil || *p.Canary == *q.Canary
}

// String is the pointer in a log line: "stable 3, canary 4 (10%), previous 2".
func (p Pointer) String() string {
	s := fmt.Sprintf("stable %d", p.Stable)
	if p.Canary != nil {
		s += fmt.Sprintf(", canary %d (%g%%)", p.Canary.Version, p.Canary.Share*100)
	}
	if p.Previous != 0 {
		s += fmt.Sprintf(", previous %d", p.Previous)
	}
	return s
}

// names lists the versions that the pointer names: these are never pruned.
func (p Pointer) names() (versions []int64) {
	if p.Stable != 0 {
		versions = append(versions, p.Stable)
	}
	if p.Canary != nil {
		versions = append(versions, p.Canary.Version)
	}
	if p.Previous != 0 {
		versions = append(versions, p.Previous)
	}
	return versions
}

// Validate returns every fault joined.
func (p Pointer) Validate() error {
	var faults []error
	if p.Stable <= 0 {
		faults = append(faults, fmt.Errorf("stable: is %d, must be a version", p.Stable))
	}
	if p.Previous < 0 {
		faults = append(faults, fmt.Errorf("previous: is %d, must be a version or 0", p.Previous))
	}
	if c := p.Canary; c != nil {
		if c.Version <= 0 {
			faults = append(faults, fmt.Errorf("canary.version: is %d, must be a version", c.Version))
		}
		if c.Version == p.Stable {
			faults = append(faults, fmt.Errorf("canary.version: is %d, the stable version too", c.Version))
		}
		if !(c.Share > 0 && c.Share <= 1) {
			faults = append(faults, fmt.Errorf("canary.share: is %g, must be above 0 and at most 1", c.Share))
		}
	}
	return errors.Join(faults...)
}

// Pointer reads a model's pointer file. It returns ErrNoPointer where there is none.
func (s *Store) Pointer(model string) (Pointer, error) {
	dir, err := s.ModelDir(model)
	if err != nil {
		return Pointer{}, err
	}
	name := filepath.Join(dir, PointerFile)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Pointer{}, fmt.Errorf("%w: %s", ErrNoPointer, name)
	}
	if err != nil {
		return Pointer{}, fmt.Errorf("modelstore: cannot read the pointer: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPointerBytes+1))
	if err != nil {
		return Pointer{}, fmt.Errorf("modelstore: cannot read the pointer: %w", err)
	}
	if len(data) > maxPointerBytes {
		return Pointer{}, fmt.Errorf("modelstore: %s is larger than %d bytes", name, maxPointerBytes)
	}
	var p Pointer
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Pointer{}, fmt.Errorf("modelstore: %s: %w", name, describe(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Pointer{}, fmt.Errorf("modelstore: %s: has more behind its end", name)
	}
	if err := p.Validate(); err != nil {
		return Pointer{}, fmt.Errorf("modelstore: %s: %w", name, err)
	}
	return p, nil
}

// SetPointer replaces a model's pointer, a damaged one too. Every version that p names as stable or canary must exist
// (ErrNoVersion).
func (s *Store) SetPointer(model string, p Pointer) error {
	return s.locked(model, func(dir string) error {
		versions, err := s.Versions(model)
		if err != nil {
			return err
		}
		return writePointer(dir, model, p, versions)
	})
}

// Promote makes a version the stable one; the stable one before becomes previous. A canary of that version ends, any
// other stays. Promoting the stable version changes nothing else.
func (s *Store) Promote(model string, version int64) error {
	return s.changePointer(model, version, func(p Pointer) (Pointer, error) {
		if p.Stable != version {
			p.Stable, p.Previous = version, p.Stable
		}
		if p.Canary != nil && p.Canary.Version == version {
			p.Canary = nil
		}
		return p, nil
	})
}

// SetCanary lets a version serve a share of keys, in (0, 1], beside the stable one. A share of 0 ends the canary.
func (s *Store) SetCanary(model string, version int64, share float64) error {
	return s.changePointer(model, version, func(p Pointer) (Pointer, error) {
		p.Canary = nil
		if share != 0 {
			p.Canary = &Canary{Version: version, Share: share}
		}
		return p, nil
	})
}

// Rollback exchanges stable and previous and ends any canary. It returns what the pointer is then, ErrNoVersion if
// there is no previous version.
func (s *Store) Rollback(model string) (Pointer, error) {
	var now Pointer
	err := s.changePointer(model, 0, func(p Pointer) (Pointer, error) {
		if p.Previous == 0 {
			return p, fmt.Errorf("modelstore: cannot roll %s back: its pointer names no previous version: %w", model, ErrNoVersion)
		}
		now = Pointer{Stable: p.Previous, Previous: p.Stable}
		return now, nil
	})
	return now, err
}

// changePointer replaces the pointer by what change makes of it, under the lock. Without a pointer file, change is given
// what served: the highest version but `fresh`, the one that the change is about, as stable.
func (s *Store) changePointer(model string, fresh int64, change func(Pointer) (Pointer, error)) error {
	return s.locked(model, func(dir string) error {
		versions, err := s.Versions(model)
		if err != nil {
			return err
		}
		old, err := s.Pointer(model)
		if errors.Is(err, ErrNoPointer) {
			old, err = Pointer{}, nil
			for _, v := range versions {
				if v != fresh {
					old.Stable = v
				}
			}
		}
		if err != nil {
			return err
		}
		p, err := change(old)
		if err != nil {
			return err
		}
		return writePointer(dir, model, p, versions)
	})
}

// writePointer checks p against the versions there are and writes it. The lock is held.
func writePointer(dir, model string, p Pointer, versions []int64) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("modelstore: cannot set the pointer of %s: %w", model, err)
	}
	if !slices.Contains(versions, p.Stable) {
		return fmt.Errorf("modelstore: cannot point %s at version %d: %w", model, p.Stable, ErrNoVersion)
	}
	if p.Canary != nil && !slices.Contains(versions, p.Canary.Version) {
		return fmt.Errorf("modelstore: cannot point %s at canary %d: %w", model, p.Canary.Version, ErrNoVersion)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("modelstore: cannot write the pointer: %w", err)
	}
	return writeFileAtomic(filepath.Join(dir, PointerFile), append(data, '\n'))
}
