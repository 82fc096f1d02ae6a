package modelstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Publish makes the staged directory version `version` of the model and promotes it: Place, then Promote. It is what a
// trainer calls for each export.
func (s *Store) Publish(model, staged string, version int64) error {
	if err := s.Place(model, staged, version); err != nil {
		return err
	}
	return s.Promote(model, version)
}

// Place makes the staged directory version `version` of the model without pointing at it. The directory must be on
// the store's file system (StagingDir) and pass VerifyVersion; its files and directories are synced, then it is renamed.
// It is untouched where Place fails, but for the sync. An existing version is never replaced (ErrExists).
func (s *Store) Place(model, staged string, version int64) error {
	target, err := s.VersionDir(model, version)
	if err != nil {
		return err
	}
	if _, err := VerifyVersion(staged, model, version); err != nil {
		return fmt.Errorf("modelstore: cannot publish %s version %d: %w", model, version, err)
	}
	if err := syncTree(staged); err != nil {
		return fmt.Errorf("modelstore: cannot publish %s version %d: %w", model, version, err)
	}
	return s.locked(model, func(dir string) error {
		if _, err := os.Lstat(target); err == nil {
			return fmt.Errorf("modelstore: cannot publish %s version %d: %w; versions are immutable, take NextVersion", model, version, ErrExists)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("modelstore: cannot publish %s version %d: %w", model, version, err)
		}
		if err := os.Rename(staged, target); err != nil {
			if errors.Is(err, unix.EXDEV) {
				return fmt.Errorf("modelstore: cannot publish %s version %d: %s is on another file system than the store; write it under %s",
					model, version, staged, filepath.Join(dir, stagingDir))
			}
			return fmt.Errorf("modelstore: cannot publish %s version %d: %w", model, version, err)
		}
		return syncDir(dir)
	})
}

// Retain removes old versions, lowest first, until n are left, and returns those it removed. The versions that the
// pointer names stay, and so do all above the stable one, which may be about to serve; they count among the n. Without a
// pointer the highest stays. A removed version goes in one rename, so that no reader finds half of one.
func (s *Store) Retain(model string, n int) (removed []int64, err error) {
	err = s.locked(model, func(dir string) error {
		versions, err := s.Versions(model)
		if err != nil || len(versions) == 0 {
			return err
		}
		p, err := s.Pointer(model)
		if errors.Is(err, ErrNoPointer) {
			p, err = Pointer{Stable: versions[len(versions)-1]}, nil
		}
		if err != nil {
			return fmt.Errorf("modelstore: cannot prune %s without knowing what serves: %w", model, err)
		}
		trash, err := s.StagingDir(model)
		if err != nil {
			return err
		}
		left := len(versions)
		for _, v := range versions {
			if left <= n {
				break
			}
			if v > p.Stable || slices.Contains(p.names(), v) {
				continue
			}
			from, err := s.VersionDir(model, v)
			if err != nil {
				return err
			}
			if err := os.Rename(from, filepath.Join(trash, filepath.Base(from))); err != nil {
				return fmt.Errorf("modelstore: cannot remove %s version %d: %w", model, v, err)
			}
			removed = append(removed, v)
			left--
		}
		if err := os.RemoveAll(trash); err != nil {
			return fmt.Errorf("modelstore: cannot remove old versions of %s: %w", model, err)
		}
		return syncDir(dir)
	})
	return removed, err
}

// writeFileAtomic replaces name by data: written aside, synced, renamed, its directory synced.
func writeFileAtomic(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("modelstore: cannot write %s: %w", name, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("modelstore: cannot write %s: %w", name, errors.Join(err, os.Remove(f.Name())))
	}
	return syncDir(filepath.Dir(name))
}

// syncTree syncs every file and directory under dir, inner ones first.
func syncTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			dirs = append(dirs, p)
			return nil
		}
		return syncDir(p)
	})
	if err != nil {
		return err
	}
	for _, d := range slices.Backward(dirs) {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the entries of a directory, or the bytes of a file, durable.
func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
