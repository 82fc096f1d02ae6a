package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxPointerBytes bounds a pointer's document.
const MaxPointerBytes = 64 << 10

// Pointer names the versions that serve. The zero Pointer names none.
type Pointer struct {
	Stable   int64   `json:"stable"`
	Canary   *Canary `json:"canary"`
	Previous int64   `json:"previous"`         // stable before the last change, 0 if none; Rollback returns to it
	Pinned   *Pin    `json:"pinned,omitempty"` // nil: the trainer promotes its exports
}

// Canary is a version that serves a share of keys beside the stable one.
type Canary struct {
	Version int64   `json:"version"`
	Share   float64 `json:"share"` // of keys, in (0, 1]
}

// Pin keeps the stable version: until a person unpins, new versions are put into the store and not promoted.
type Pin struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"` // for people; may be empty
}

// Equal reports whether both pointers are equal.
func (p Pointer) Equal(q Pointer) bool {
	if p.Stable != q.Stable || p.Previous != q.Previous || (p.Canary == nil) != (q.Canary == nil) || (p.Pinned == nil) != (q.Pinned == nil) {
		return false
	}
	if p.Pinned != nil && !(p.Pinned.Since.Equal(q.Pinned.Since) && p.Pinned.Reason == q.Pinned.Reason) {
		return false
	}
	return p.Canary == nil || *p.Canary == *q.Canary
}

// String is the pointer in a log line: "stable 3, canary 4 (10%), previous 2, pinned".
func (p Pointer) String() string {
	s := fmt.Sprintf("stable %d", p.Stable)
	if p.Canary != nil {
		s += fmt.Sprintf(", canary %d (%g%%)", p.Canary.Version, p.Canary.Share*100)
	}
	if p.Previous != 0 {
		s += fmt.Sprintf(", previous %d", p.Previous)
	}
	if p.Pinned != nil {
		s += ", pinned"
	}
	return s
}

// names lists the versions that the pointer names. Retain never removes these.
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

// Serving lists the versions that should serve: stable, and the canary if there is one.
func (p Pointer) Serving() []int64 {
	if p.Canary == nil {
		return []int64{p.Stable}
	}
	return []int64{p.Stable, p.Canary.Version}
}

// Validate returns an error that joins every fault.
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
	if p.Pinned != nil && p.Pinned.Since.IsZero() {
		faults = append(faults, errors.New("pinned.since: is missing, must be a time (RFC 3339)"))
	}
	return errors.Join(faults...)
}

// Encode returns the pointer's document, which DecodePointer reads. An invalid pointer is an error.
func (p Pointer) Encode() ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("models: cannot write the pointer: %w", err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("models: cannot write the pointer: %w", err)
	}
	return append(data, '\n'), nil
}

// DecodePointer reads a pointer's document strictly. Errors name it by name and wrap ErrBadPointer.
func DecodePointer(name string, data []byte) (Pointer, error) {
	var p Pointer
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(&p)
	switch {
	case len(data) > MaxPointerBytes:
		err = fmt.Errorf("it is larger than %d bytes", MaxPointerBytes)
	case err != nil:
		err = describe(err)
	default:
		if _, end := dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("it has text after its end")
		} else {
			err = p.Validate()
		}
	}
	if err != nil {
		return Pointer{}, fmt.Errorf("%w: %s: %w", ErrBadPointer, name, err)
	}
	return p, nil
}
