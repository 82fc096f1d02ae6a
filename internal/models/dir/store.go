// Package dir keeps models in a local directory, written by a trainer and watched by every bidder of the machine.
//
//	<root>/<model>/<version>/…        a version: TensorFlow Serving's layout, immutable once it has its number
//	<root>/<model>/pointer.json       what serves: stable, canary with its share, previous, pin
//	<root>/<model>/.staging/<any>/    where a version is written before it is published; never read by a bidder
//	<root>/<model>/.lock              held while a version or the pointer changes, by pytrain too
//	<root>/objects/<sha256>           parameters that plans share (objects.go)
//	<root>/objects/.lock              held by sweeps alone, and by writers of objects together
//
// A version appears whole or not at all: its files and directories are synced, then the directory is renamed. So is
// the pointer. The revision of a pointer is the checksum of its file, so that an edit by hand counts as a change.
package dir

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gavel/internal/models"
)

// The names inside a model's directory.
const (
	PointerFile = "pointer.json"

	stagingDir  = ".staging"
	lockFile    = ".lock"
	trashPrefix = "trash-" // of directories in staging: versions that are being removed
)

// Store is a models.Store in a local directory. It holds no state and no open files.
type Store struct {
	root  string
	fresh time.Duration // models.FreshObject; tests have less patience
}

// New returns the store at root. The directory need not exist yet: readers see no models then, writers make it.
func New(root string) *Store { return &Store{root: root, fresh: models.FreshObject} }

// String implements models.Store: the directory.
func (s *Store) String() string { return s.root }

// modelDir is the directory of a model. It may not exist.
func (s *Store) modelDir(model string) (string, error) {
	if err := models.CheckModel(model); err != nil {
		return "", err
	}
	return filepath.Join(s.root, model), nil
}

// versionDir is the directory of a version. It may not exist.
func (s *Store) versionDir(model string, version int64) (string, error) {
	if err := models.CheckVersion(model, version); err != nil {
		return "", err
	}
	return filepath.Join(s.root, model, strconv.FormatInt(version, 10)), nil
}

// Models implements models.Store: the directories whose names can be a model's and that hold a version or a pointer.
func (s *Store) Models(ctx context.Context) ([]string, error) {
	entries, err := readDir(s.root)
	if err != nil {
		return nil, fmt.Errorf("models: cannot list the models: %w", err)
	}
	var names []string
	for _, e := range entries { // in the order of their names
		if !e.IsDir() || models.CheckModel(e.Name()) != nil {
			continue
		}
		_, err := os.Stat(filepath.Join(s.root, e.Name(), PointerFile))
		if err != nil {
			versions, _ := s.Versions(ctx, e.Name())
			if len(versions) == 0 {
				continue
			}
		}
		names = append(names, e.Name())
	}
	return names, nil
}

// Versions implements models.Store. Names that are no positive integer, .staging among them, are ignored.
func (s *Store) Versions(_ context.Context, model string) ([]int64, error) {
	dir, err := s.modelDir(model)
	if err != nil {
		return nil, err
	}
	entries, err := readDir(dir)
	if err != nil {
		return nil, fmt.Errorf("models: cannot list the versions of %s: %w", model, err)
	}
	var versions []int64
	for _, e := range entries {
		if v, ok := parseVersion(e.Name()); ok && e.IsDir() {
			versions = append(versions, v)
		}
	}
	if versions == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "saved_model.pb" }) {
		return nil, fmt.Errorf("models: %s holds a SavedModel where versions belong; move it to %s and promote it", dir, filepath.Join(dir, "1"))
	}
	slices.Sort(versions)
	return versions, nil
}

// Stamp implements models.Stamper, by what the file system says of the model's directory and its pointer: a version that comes or goes
// changes the directory, and so does a pointer that is replaced; one that is edited in place changes itself.
func (s *Store) Stamp(_ context.Context, model string) (stamp uint64, ok bool) {
	dir, err := s.modelDir(model)
	if err != nil {
		return 0, false
	}
	h := fnv.New64a()
	for _, name := range []string{dir, filepath.Join(dir, PointerFile)} {
		size, at, err := status(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, false
		}
		if err == nil && time.Since(at) < settled {
			return 0, false
		}
		fmt.Fprint(h, size, at.UnixNano(), " ")
	}
	return h.Sum64(), true
}

// settled is how long ago a file must have changed for the next change to have another time: clocks of file systems are coarse.
const settled = time.Second

// readDir lists a directory in the order of names; nothing if it does not exist.
func readDir(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// parseVersion reads a directory's name: a positive integer without leading zeros or sign.
func parseVersion(name string) (int64, bool) {
	if name == "" || name[0] < '1' || name[0] > '9' {
		return 0, false
	}
	v, err := strconv.ParseInt(name, 10, 64)
	return v, err == nil
}

// Files implements models.Store. A file's tag is its modification time. Links, pipes and devices are errors.
func (s *Store) Files(_ context.Context, model string, version int64) ([]models.File, error) {
	dir, err := s.versionDir(model, version)
	if err != nil {
		return nil, err
	}
	var files []models.File
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file; a version holds only regular files", rel)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		files = append(files, models.File{Name: filepath.ToSlash(rel), Size: info.Size(), Tag: strconv.FormatInt(info.ModTime().UnixNano(), 36)})
		return nil
	})
	if err == nil && len(files) > 0 {
		slices.SortFunc(files, func(a, b models.File) int { return strings.Compare(a.Name, b.Name) })
		return files, nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = models.ErrNoVersion
	}
	return nil, fmt.Errorf("models: cannot list the files of %s version %d in %s: %w", model, version, s.root, err)
}

// Read implements models.Store.
func (s *Store) Read(_ context.Context, model string, version int64, name string, limit int64) ([]byte, error) {
	dir, err := s.versionDir(model, version)
	if err != nil {
		return nil, err
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, fmt.Errorf("models: %q is not a file within a version", name)
	}
	data, err := readFile(filepath.Join(dir, filepath.FromSlash(name)), limit)
	if err != nil {
		return nil, fmt.Errorf("models: cannot read %s version %d: %w", model, version, err)
	}
	return data, nil
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}

// Fetch implements models.Store: the version's own directory, without copying.
func (s *Store) Fetch(_ context.Context, model string, version int64) (models.Fetched, error) {
	dir, err := s.versionDir(model, version)
	if err != nil {
		return models.Fetched{}, err
	}
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return models.Fetched{}, fmt.Errorf("models: %s is not there: %w", dir, models.ErrNoVersion)
	} else if err != nil {
		return models.Fetched{}, fmt.Errorf("models: cannot read %s version %d: %w", model, version, err)
	}
	return models.Fetched{Dir: dir, Release: func() {}}, nil
}

// Staging implements models.Store: <root>/<model>/.staging, on the versions' file system, so that Put is a rename.
func (s *Store) Staging(_ context.Context, model string) (string, error) {
	dir, err := s.modelDir(model)
	if err != nil {
		return "", err
	}
	staging := filepath.Join(dir, stagingDir)
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return "", fmt.Errorf("models: cannot make the staging directory of %s: %w", model, err)
	}
	return staging, nil
}
