package models

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Listing describes a model in a store, for people: its pointer and its versions. The versions' files are not verified.
type Listing struct {
	Model    string    `json:"model"`
	Pointer  Pointer   `json:"pointer"`         // the store's pointer; if there is none, what serves without one
	Set      bool      `json:"pointer_set"`     // the store holds a pointer
	Fault    string    `json:"fault,omitempty"` // why the pointer can't be read
	Versions []Listed  `json:"versions"`        // the newest first
	At       time.Time `json:"at"`              // when it was listed
}

// Listed is one version. Values that its manifest lacks are zero.
type Listed struct {
	Version     int64     `json:"version"`
	Role        string    `json:"role"`            // "stable", "canary", "previous" or ""
	Share       float64   `json:"share,omitempty"` // of a canary
	Bytes       int64     `json:"bytes"`
	Created     time.Time `json:"created,omitzero"`
	Formats     []string  `json:"formats,omitempty"`
	Rows        int64     `json:"rows"` // learnt
	LogLoss     *float64  `json:"log_loss,omitempty"`
	Calibration *float64  `json:"calibration,omitempty"`
	Fault       string    `json:"fault,omitempty"` // why its manifest can't be read
}

// List describes a model. Faults of versions and of the pointer are in the listing.
func List(ctx context.Context, s Store, model string) (Listing, error) {
	l := Listing{Model: model, Versions: []Listed{}, At: time.Now()}
	versions, err := s.Versions(ctx, model)
	if err != nil {
		return l, err
	}
	switch l.Pointer, _, err = s.Pointer(ctx, model); {
	case err == nil:
		l.Set = true
	case !errors.Is(err, ErrNoPointer):
		l.Fault = err.Error()
	case len(versions) > 0:
		l.Pointer.Stable = versions[len(versions)-1]
	}
	for _, v := range slices.Backward(versions) {
		l.Versions = append(l.Versions, listed(ctx, s, model, v, l.Pointer))
	}
	return l, nil
}

func listed(ctx context.Context, s Store, model string, version int64, p Pointer) Listed {
	v := Listed{Version: version}
	switch {
	case version == p.Stable:
		v.Role = "stable"
	case p.Canary != nil && version == p.Canary.Version:
		v.Role, v.Share = "canary", p.Canary.Share
	case version == p.Previous:
		v.Role = "previous"
	}
	files, err := s.Files(ctx, model, version)
	for _, f := range files {
		v.Bytes += f.Size
	}
	var data []byte
	if err == nil {
		data, err = s.Read(ctx, model, version, ManifestFile, MaxManifestBytes)
	}
	var m *Manifest
	if err == nil {
		m, err = ParseManifest(ManifestFile, data)
	}
	if err != nil {
		v.Fault = err.Error()
		return v
	}
	v.Created, v.Formats, v.Rows = m.Created, m.Formats, m.Training.Rows
	metric := func(name string) *float64 {
		if value, ok := m.Metric(name); ok {
			return &value
		}
		return nil
	}
	v.LogLoss, v.Calibration = metric("log_loss"), metric("calibration")
	return v
}
