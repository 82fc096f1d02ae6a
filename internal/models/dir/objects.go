package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gavel/internal/models"
)

// The life of objects, <root>/objects/<sha256>. Two rules, each enough to keep what a version needs, and a third for the peace
// of writers:
//
//   - Put makes a version appear only while it holds the lock of the objects, shared, and has seen each of its objects.
//   - A sweep holds that lock alone, from its first look at a version until its last removal. It removes what no version
//     names. So no version ever names an object that is missing, whatever dies when: locks end with their holders.
//   - Who writes an object takes the lock, shared, and touches the object if it is there. A sweep leaves what was touched
//     less than fresh ago, so that an object is still there when its version comes.
//
// pytrain/store.py follows the same rules. The lock of a model is taken before the lock of the objects.
//
// An object that only removed versions named need not become stale first: it goes with them, unless somebody touched it after the
// removed version's manifest was written.

// objectName is the name of an object's file.
var objectName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// patience is how long a sweep waits for writers. They hold the lock while they write one object, or one rename.
const patience = 10 * time.Second

func (s *Store) objectsDir() string { return filepath.Join(s.root, models.ObjectsDir) }

// holdObjects takes the lock of the objects, shared or alone, until release.
func (s *Store) holdObjects(ctx context.Context, alone bool) (release func(), err error) {
	dir := s.objectsDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("models: cannot make the directory of objects: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("models: cannot lock the objects: %w", err)
	}
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("models: cannot lock the objects in %s, others hold the lock: %w", dir, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	_ = f.Close()
	return nil, fmt.Errorf("models: cannot lock the objects in %s: %w", dir, err)
}

// named is the part of a manifest that says which objects a version needs.
type named struct {
	Files   map[string]string `json:"files"`
	Objects map[string]int64  `json:"objects"`
}

// readNamed reads the manifest of the version at dir. Objects is nil if the version needs none. written is when the manifest was
// last changed, on the clock of the file system.
func readNamed(dir string) (n named, written time.Time, err error) {
	name := filepath.Join(dir, filepath.FromSlash(models.ManifestFile))
	if _, written, err = status(name); err != nil {
		return n, written, err
	}
	data, err := readFile(name, models.MaxManifestBytes)
	if err != nil {
		return n, written, err
	}
	if err := json.Unmarshal(data, &n); err != nil {
		return n, written, fmt.Errorf("%s: %w", name, err)
	}
	if _, plan := n.Files[models.PlanFile]; plan && n.Objects == nil {
		return n, written, fmt.Errorf("%s: has a plan and lacks \"objects\"", name)
	}
	return n, written, nil
}

// status is the size of a file, and when its content or its times last changed. Nobody can set that time back, and a copy that keeps
// the file's times has a time of its own.
func status(name string) (size int64, changed time.Time, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return 0, changed, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return st.Size, time.Unix(st.Ctim.Unix()), nil
}

// present checks that each object of a staged version is there, in the size that its manifest says. The caller holds the lock
// of the objects.
func (s *Store) present(objects map[string]int64) error {
	for _, sum := range slices.Sorted(maps.Keys(objects)) {
		size, _, err := status(filepath.Join(s.objectsDir(), sum))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("object %s is not in %s; write the version's objects again, then publish within %v", sum, s.objectsDir(), s.fresh)
		case err != nil:
			return err
		case size != objects[sum]:
			return fmt.Errorf("object %s has %d bytes, the manifest says %d; port the model again, which replaces a damaged object",
				sum, size, objects[sum])
		}
	}
	return nil
}

// needs maps each object that a version names to these versions, as "ctr version 3". Versions whose objects are not known are
// faults. A version that is removed meanwhile names none.
func (s *Store) needs(ctx context.Context) (needed map[string][]string, faults []error, err error) {
	needed = map[string][]string{}
	names, err := s.Models(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, model := range names {
		versions, err := s.Versions(ctx, model)
		if err != nil {
			return nil, nil, err
		}
		for _, v := range versions {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			dir, err := s.versionDir(model, v)
			if err != nil {
				return nil, nil, err
			}
			n, _, err := readNamed(dir)
			if err != nil {
				if _, gone := os.Lstat(dir); errors.Is(gone, fs.ErrNotExist) {
					continue
				}
				faults = append(faults, fmt.Errorf("%s version %d: %w", model, v, err))
			}
			for sum := range n.Objects {
				needed[sum] = append(needed[sum], fmt.Sprintf("%s version %d", model, v))
			}
		}
	}
	return needed, faults, nil
}

// Sweep implements models.Objects. It also removes the rest of versions whose removal was interrupted.
func (s *Store) Sweep(ctx context.Context) (models.Swept, error) {
	names, err := s.Models(ctx)
	if err != nil {
		return models.Swept{}, fmt.Errorf("models: cannot sweep: %w", err)
	}
	rests := 0
	for _, model := range names {
		n, err := s.removeRests(model)
		if err != nil {
			return models.Swept{}, err
		}
		rests += n
	}
	done, err := s.sweep(ctx, nil)
	done.Strays += rests
	return done, err
}

// removeRests removes what Remove has moved away and not removed. Remove holds the model's lock meanwhile, so what is there now is
// of one that was killed.
func (s *Store) removeRests(model string) (n int, err error) {
	rests, err := filepath.Glob(filepath.Join(s.root, model, stagingDir, trashPrefix+"*"))
	if err != nil || len(rests) == 0 {
		return 0, err
	}
	return len(rests), s.locked(model, func(string) error {
		for _, rest := range rests {
			if err := os.RemoveAll(rest); err != nil {
				return fmt.Errorf("models: cannot remove the rest of a version: %w", err)
			}
		}
		return nil
	})
}

// sweep is Sweep, and also removes objects that removed versions named although they are fresh. gone maps these to when the
// manifest of the removed version was written.
func (s *Store) sweep(ctx context.Context, gone map[string]time.Time) (done models.Swept, err error) {
	if _, err := os.Lstat(s.objectsDir()); errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	release, err := s.holdObjects(ctx, true)
	if err != nil {
		return done, err
	}
	defer release()
	needed, faults, err := s.needs(ctx)
	if err != nil {
		return done, fmt.Errorf("models: cannot sweep the objects: %w", err)
	}
	if len(faults) > 0 {
		return done, fmt.Errorf("models: cannot sweep the objects in %s, since which ones these versions need is not known; repair or remove them: %w",
			s.objectsDir(), errors.Join(faults...))
	}
	entries, err := os.ReadDir(s.objectsDir())
	if err != nil {
		return done, fmt.Errorf("models: cannot sweep the objects: %w", err)
	}
	stale := time.Now().Add(-s.fresh)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return done, fmt.Errorf("models: the sweep of %s is not done: %w", s.objectsDir(), err)
		}
		object, stray := objectName.MatchString(e.Name()), strayObject(e.Name())
		if !object && !stray || needed[e.Name()] != nil {
			continue
		}
		size, at, err := status(filepath.Join(s.objectsDir(), e.Name()))
		if err != nil {
			return done, fmt.Errorf("models: cannot sweep the objects: %w", err)
		}
		if !at.Before(stale) && !at.Before(gone[e.Name()]) {
			if object {
				done.Fresh++
			}
			continue
		}
		if err := os.Remove(filepath.Join(s.objectsDir(), e.Name())); err != nil {
			return done, fmt.Errorf("models: cannot sweep the objects: %w", err)
		}
		if stray {
			done.Strays++
			continue
		}
		done.Removed++
		done.Bytes += size
	}
	return done, syncDir(s.objectsDir())
}

// strayObject says whether a file is an object that is being written: a dot, the object's name, and what a killed writer no
// longer renames.
func strayObject(name string) bool {
	return len(name) > 65 && name[0] == '.' && objectName.MatchString(name[1:65])
}

// ListObjects implements models.Objects.
func (s *Store) ListObjects(ctx context.Context) ([]models.Object, error) {
	needed, faults, err := s.needs(ctx)
	if err != nil {
		return nil, fmt.Errorf("models: cannot list the objects: %w", err)
	}
	entries, err := readDir(s.objectsDir())
	if err != nil {
		return nil, fmt.Errorf("models: cannot list the objects: %w", err)
	}
	found := map[string]models.Object{}
	stale := time.Now().Add(-s.fresh)
	for _, e := range entries {
		if !objectName.MatchString(e.Name()) {
			continue
		}
		if size, at, err := status(filepath.Join(s.objectsDir(), e.Name())); err == nil {
			found[e.Name()] = models.Object{Sum: e.Name(), Bytes: size, Fresh: !at.Before(stale)}
		}
	}
	for sum, versions := range needed {
		o, ok := found[sum]
		if !ok {
			o = models.Object{Sum: sum, Bytes: -1}
		}
		o.Named = versions
		found[sum] = o
	}
	all := slices.Collect(maps.Values(found))
	slices.SortFunc(all, func(a, b models.Object) int { return strings.Compare(a.Sum, b.Sum) })
	return all, errors.Join(faults...)
}

// CheckObject implements models.Objects.
func (s *Store) CheckObject(_ context.Context, sum string) error {
	if !objectName.MatchString(sum) {
		return fmt.Errorf("models: %q is not the name of an object", sum)
	}
	name := filepath.Join(s.objectsDir(), sum)
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("models: object %s cannot be read: %w", sum, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return fmt.Errorf("models: object %s cannot be read: %w", sum, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("models: object %s is damaged: its %d bytes have sha256 %s", sum, n, got)
	}
	return nil
}
