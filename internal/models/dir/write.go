package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"gavel/internal/models"
)

// Put implements models.Store. Files and directories are synced, then the directory is renamed, if all objects that its
// manifest names are there. Where Put fails, the staged directory is untouched.
func (s *Store) Put(ctx context.Context, model string, version int64, staged string) error {
	target, err := s.versionDir(model, version)
	if err != nil {
		return err
	}
	cannot := func(err error) error { return fmt.Errorf("models: cannot put %s version %d: %w", model, version, err) }
	needs, _, err := readNamed(staged)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannot(err)
	}
	if err := syncTree(staged); err != nil {
		return cannot(err)
	}
	return s.locked(model, func(dir string) error {
		if _, err := os.Lstat(target); err == nil {
			return cannot(fmt.Errorf("%w; versions are immutable, take NextVersion", models.ErrExists))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return cannot(err)
		}
		if len(needs.Objects) > 0 {
			release, err := s.holdObjects(ctx, false)
			if err != nil {
				return cannot(err)
			}
			defer release()
			if err := s.present(needs.Objects); err != nil {
				return cannot(err)
			}
		}
		if err := os.Rename(staged, target); errors.Is(err, unix.EXDEV) {
			return cannot(fmt.Errorf("%s is on another file system than the store; write it under %s", staged, filepath.Join(dir, stagingDir)))
		} else if err != nil {
			return cannot(err)
		}
		return syncDir(dir)
	})
}

// Remove implements models.Store. A version goes in one rename, then its files are removed, then the objects that no version
// names any more. If these cannot be removed, the error says so, although the versions are gone: a later sweep removes them.
func (s *Store) Remove(ctx context.Context, model string, versions []int64, at models.Revision) error {
	gone := map[string]time.Time{} // objects, and when the last manifest that named them was written
	err := s.locked(model, func(dir string) error {
		_, now, err := s.Pointer(ctx, model)
		if err != nil && !errors.Is(err, models.ErrNoPointer) {
			return err
		}
		if now != at {
			return fmt.Errorf("models: cannot remove versions of %s: %w", model, models.ErrConflict)
		}
		staging, err := s.Staging(ctx, model)
		if err != nil {
			return err
		}
		trash, err := os.MkdirTemp(staging, trashPrefix)
		if err != nil {
			return fmt.Errorf("models: cannot remove versions of %s: %w", model, err)
		}
		for _, v := range versions {
			name := strconv.FormatInt(v, 10)
			if n, written, err := readNamed(filepath.Join(dir, name)); err == nil {
				for sum := range n.Objects {
					if written.After(gone[sum]) {
						gone[sum] = written
					}
				}
			}
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(trash, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("models: cannot remove %s version %d: %w", model, v, err)
			}
		}
		if err := os.RemoveAll(trash); err != nil {
			return fmt.Errorf("models: cannot remove versions of %s: %w", model, err)
		}
		return syncDir(dir)
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	if _, err := s.sweep(ctx, gone); err != nil {
		return fmt.Errorf("models: versions %v of %s are removed, their objects are not: %w", versions, model, err)
	}
	return nil
}

// Pointer implements models.Store.
func (s *Store) Pointer(_ context.Context, model string) (models.Pointer, models.Revision, error) {
	dir, err := s.modelDir(model)
	if err != nil {
		return models.Pointer{}, "", err
	}
	name := filepath.Join(dir, PointerFile)
	data, err := readFile(name, models.MaxPointerBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return models.Pointer{}, "", fmt.Errorf("%w: %s", models.ErrNoPointer, name)
	}
	if err != nil {
		return models.Pointer{}, "", fmt.Errorf("models: cannot read the pointer: %w", err)
	}
	sum := sha256.Sum256(data)
	p, err := models.DecodePointer(name, data)
	return p, models.Revision(hex.EncodeToString(sum[:16])), err
}

// SetPointer implements models.Store. The file is written aside, synced and renamed.
func (s *Store) SetPointer(ctx context.Context, model string, p models.Pointer, read models.Revision) error {
	data, err := p.Encode()
	if err != nil {
		return fmt.Errorf("%w (model %s)", err, model)
	}
	return s.locked(model, func(dir string) error {
		versions, err := s.Versions(ctx, model)
		if err != nil {
			return err
		}
		for _, v := range p.Serving() {
			if !slices.Contains(versions, v) {
				return fmt.Errorf("models: cannot point %s at version %d: %w", model, v, models.ErrNoVersion)
			}
		}
		// A pointer that cannot be read at all has no revision, and a damaged one has one: both can be replaced by who saw that.
		if _, now, _ := s.Pointer(ctx, model); now != read {
			return fmt.Errorf("models: cannot set the pointer of %s: %w", model, models.ErrConflict)
		}
		return writeFileAtomic(filepath.Join(dir, PointerFile), data)
	})
}

// locked runs do while it holds the model's lock, which it makes if absent: an advisory lock on a file, released by the
// kernel when its holder dies.
func (s *Store) locked(model string, do func(dir string) error) error {
	dir, err := s.modelDir(model)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("models: cannot make the directory of %s: %w", model, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("models: cannot lock %s: %w", model, err)
	}
	defer f.Close() // releases the lock
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("models: cannot lock %s: %w", model, err)
	}
	return do(dir)
}

// writeFileAtomic replaces name by data: written aside, synced, renamed, its directory synced.
func writeFileAtomic(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("models: cannot write %s: %w", name, err)
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
		return fmt.Errorf("models: cannot write %s: %w", name, errors.Join(err, os.Remove(f.Name())))
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
