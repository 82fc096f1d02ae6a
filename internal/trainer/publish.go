package trainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gavel/internal/models"
)

// publish makes a version of an exported directory. Unless the pointer is pinned, the version becomes the stable one. After
// a fault only this version is lost: the next export makes another.
func (in *incarnation) publish(ctx context.Context, a *Answer) {
	p := in.p
	fail := func(err error) {
		p.o.Metrics.exports.WithLabelValues(p.model, "refused").Inc()
		in.log.Error("cannot publish version", "version", a.Version, "path", a.Path, "error", err)
		p.update(func(s *Status) { s.Error = err.Error() })
	}
	staged, err := in.staged(ctx, a.Path)
	if err == nil && p.o.Check != nil {
		err = p.o.Check(ctx, staged, p.model, a.Version)
	}
	if err != nil {
		fail(err)
		return
	}
	pointer, err := models.Publish(ctx, p.o.Store, p.model, a.Version, staged)
	if err != nil {
		fail(err)
		return
	}
	result := "published"
	if pointer.Pinned != nil {
		result = "placed"
	}
	now := time.Now()
	p.o.Metrics.progress(p.model, a)
	p.o.Metrics.exports.WithLabelValues(p.model, result).Inc()
	p.o.Metrics.version.WithLabelValues(p.model).Set(float64(a.Version))
	p.o.Metrics.published.WithLabelValues(p.model).Set(float64(now.UnixMilli()) / 1000)
	p.pinned(pointer)
	p.update(func(s *Status) { s.Version, s.Published, s.Rows = a.Version, now, a.Rows })
	in.log.Info("version "+result, "version", a.Version, "rows", a.Rows, "metrics", a.Metrics)
	if _, err := models.Retain(ctx, p.o.Store, p.model, p.o.Keep); err != nil && !errors.Is(err, models.ErrConflict) { // the next export tries again
		in.log.Warn("cannot remove old versions", "error", err)
	}
}

// staged returns the directory that the child reports, or an error if it is not in the store's staging directory.
func (in *incarnation) staged(ctx context.Context, path string) (string, error) {
	root, err := in.p.o.Store.Staging(ctx, in.p.model)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(root, path); err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return "", fmt.Errorf("trainer: the child exported to %q, want a directory in %s", path, root)
	}
	return path, nil
}

// pinned exports whether the pointer is pinned, and logs each change.
func (p *Pipeline) pinned(pointer models.Pointer) {
	is, was := pointer.Pinned != nil, false
	p.update(func(s *Status) { was, s.Pinned = s.Pinned, is })
	value := 0.0
	if is {
		value = 1
	}
	p.o.Metrics.pinned.WithLabelValues(p.model).Set(value)
	switch {
	case is && !was:
		p.log.Warn("the pointer is pinned: versions are put into the store and not promoted until it is unpinned (bidder models unpin)",
			"serves", pointer.Stable, "since", pointer.Pinned.Since, "reason", pointer.Pinned.Reason)
	case was && !is:
		p.log.Info("the pointer is no longer pinned: versions are promoted again")
	}
}

// clearDir removes all files in a directory. They are remains of killed exports, since only one trainer exports there.
func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var faults []error
	for _, e := range entries {
		faults = append(faults, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(faults...)
}
