// Package modelstore is the directory that trained model versions travel through: written by a trainer, watched by
// every bidder.
//
//	<root>/<model>/<version>/…        a version: TensorFlow Serving's layout, immutable once it has its number
//	<root>/<model>/pointer.json       what serves: stable, canary with its share, previous
//	<root>/<model>/.staging/<any>/    where a version is written before it is published; never read by a bidder
//	<root>/<model>/.lock              held while a version or the pointer changes
//
// A version appears whole or not at all: its files and directories are synced, then the directory is renamed. So is
// the pointer. What a reader finds is checked all the same (Verify), since disks, copies and people make mistakes.
package modelstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The names inside a model's directory and a version's.
const (
	PointerFile  = "pointer.json"
	ManifestFile = "assets.extra/manifest.json"
	RecipeFile   = "assets.extra/recipe.yaml"
	GoldenFile   = "assets.extra/golden.msgpack"

	stagingDir = ".staging"
	lockFile   = ".lock"
)

// The sentinels that callers branch on.
var (
	ErrNoVersion = errors.New("modelstore: no such version")
	ErrExists    = errors.New("modelstore: version exists already")
	ErrNoPointer = errors.New("modelstore: no pointer file")
)

var modelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// CheckModel returns an error unless name can be a model's: [a-z][a-z0-9_]{0,62}. Nothing else becomes part of a path.
func CheckModel(name string) error {
	if !modelName.MatchString(name) {
		return fmt.Errorf("modelstore: model name %q is not allowed; use a lower-case letter, then up to 62 of a-z, 0-9 and _", name)
	}
	return nil
}

// Store is a model store in a local directory. It holds no state and no open files; its methods are safe for
// concurrent use, also by several processes on one machine.
type Store struct{ root string }

// New returns the store at root. The directory need not exist yet: readers see no versions then, writers make it.
func New(root string) *Store { return &Store{root: root} }

// Root is the store's directory.
func (s *Store) Root() string { return s.root }

// ModelDir is the directory of a model. It may not exist.
func (s *Store) ModelDir(model string) (string, error) {
	if err := CheckModel(model); err != nil {
		return "", err
	}
	return filepath.Join(s.root, model), nil
}

// VersionDir is the directory of a version. It may not exist.
func (s *Store) VersionDir(model string, version int64) (string, error) {
	dir, err := s.ModelDir(model)
	if err != nil {
		return "", err
	}
	if version <= 0 {
		return "", fmt.Errorf("modelstore: version %d of %s is not allowed; versions are positive", version, model)
	}
	return filepath.Join(dir, strconv.FormatInt(version, 10)), nil
}

// StagingDir makes a fresh directory <root>/<model>/.staging/<unique> for a writer to fill, on the same file system
// as the versions, so that publishing is a rename.
func (s *Store) StagingDir(model string) (string, error) {
	parent, err := s.StagingRoot(model)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, "v-")
	if err != nil {
		return "", fmt.Errorf("modelstore: cannot make a staging directory for %s: %w", model, err)
	}
	return dir, nil
}

// StagingRoot makes, if absent, and returns <root>/<model>/.staging.
func (s *Store) StagingRoot(model string) (string, error) {
	dir, err := s.ModelDir(model)
	if err != nil {
		return "", err
	}
	parent := filepath.Join(dir, stagingDir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("modelstore: cannot make the staging directory of %s: %w", model, err)
	}
	return parent, nil
}

// CleanStaging removes what writers left in .staging more than age ago: the remains of killed exports.
func (s *Store) CleanStaging(model string, age time.Duration) error {
	dir, err := s.ModelDir(model)
	if err != nil {
		return err
	}
	parent := filepath.Join(dir, stagingDir)
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("modelstore: cannot read the staging directory of %s: %w", model, err)
	}
	var faults []error
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < age {
			continue
		}
		if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
			faults = append(faults, fmt.Errorf("modelstore: cannot remove stale staging %s: %w", e.Name(), err))
		}
	}
	return errors.Join(faults...)
}

// Versions lists a model's versions, ascending. Other names, .staging among them, are ignored; a listed version need
// not be sound. A model without a directory has none.
func (s *Store) Versions(model string) ([]int64, error) {
	dir, err := s.ModelDir(model)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("modelstore: cannot list the versions of %s: %w", model, err)
	}
	var versions []int64
	for _, e := range entries {
		if v, ok := parseVersion(e.Name()); ok && e.IsDir() {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	return versions, nil
}

// NextVersion is one more than the highest version there is or the pointer names, 1 for a new model.
func (s *Store) NextVersion(model string) (int64, error) {
	versions, err := s.Versions(model)
	if err != nil {
		return 0, err
	}
	next := int64(1)
	if n := len(versions); n > 0 {
		next = versions[n-1] + 1
	}
	p, err := s.Pointer(model)
	if err != nil && !errors.Is(err, ErrNoPointer) {
		return 0, err
	}
	for _, v := range p.names() {
		next = max(next, v+1)
	}
	return next, nil
}

// parseVersion reads a directory's name: a positive integer without leading zeros or sign.
func parseVersion(name string) (int64, bool) {
	if name == "" || name[0] < '1' || name[0] > '9' {
		return 0, false
	}
	v, err := strconv.ParseInt(name, 10, 64)
	return v, err == nil
}

// locked runs do while it holds the model's lock, which it makes if absent: an advisory lock on a file, released by the
// kernel when its holder dies.
func (s *Store) locked(model string, do func(dir string) error) error {
	dir, err := s.ModelDir(model)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("modelstore: cannot make the directory of %s: %w", model, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("modelstore: cannot lock %s: %w", model, err)
	}
	defer f.Close() // releases the lock
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("modelstore: cannot lock %s: %w", model, err)
	}
	return do(dir)
}
