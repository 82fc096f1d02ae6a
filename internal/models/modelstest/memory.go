package modelstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"gavel/internal/models"
)

// Memory is a models.Store without a directory, as a remote one is: versions are copied in and out. It has no notices.
type Memory struct {
	dir string // for staging and copies

	mu     sync.Mutex // guards what follows
	models map[string]*memoryModel
	clock  int64
	copies int // fetched and not released
}

type memoryModel struct {
	versions map[int64]map[string]memoryFile
	pointer  *models.Pointer
	revision models.Revision
}

type memoryFile struct {
	content []byte
	tag     int64
}

// NewMemory returns an empty store, which keeps staged and fetched versions in dir.
func NewMemory(dir string) *Memory { return &Memory{dir: dir, models: map[string]*memoryModel{}} }

// String implements models.Store.
func (s *Memory) String() string { return "memory" }

// Copies is how many fetched versions were not released.
func (s *Memory) Copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies
}

// Models implements models.Store.
func (s *Memory) Models(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.models)), nil
}

// model is one that may have nothing. s.mu is held.
func (s *Memory) model(name string) (*memoryModel, error) {
	if err := models.CheckModel(name); err != nil {
		return nil, err
	}
	return cmp.Or(s.models[name], &memoryModel{versions: map[int64]map[string]memoryFile{}}), nil
}

func (s *Memory) files(model string, version int64) (map[string]memoryFile, error) {
	if err := models.CheckVersion(model, version); err != nil {
		return nil, err
	}
	m, err := s.model(model)
	if err != nil {
		return nil, err
	}
	if len(m.versions[version]) == 0 {
		return nil, fmt.Errorf("models: %s version %d: %w", model, version, models.ErrNoVersion)
	}
	return m.versions[version], nil
}

// Versions implements models.Store.
func (s *Memory) Versions(_ context.Context, model string) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.model(model)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(m.versions)), nil
}

// Files implements models.Store.
func (s *Memory) Files(_ context.Context, model string, version int64) (files []models.File, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.files(model, version)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		files = append(files, models.File{Name: name, Size: int64(len(found[name].content)), Tag: strconv.FormatInt(found[name].tag, 10)})
	}
	return files, err
}

// Read implements models.Store.
func (s *Memory) Read(_ context.Context, model string, version int64, name string, limit int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := models.CheckVersion(model, version); err != nil {
		return nil, err
	}
	files, _ := s.files(model, version)
	f, ok := files[name]
	if !ok {
		return nil, fmt.Errorf("models: %s version %d has no file %q: %w", model, version, name, fs.ErrNotExist)
	}
	if int64(len(f.content)) > limit {
		return nil, fmt.Errorf("models: %s is larger than %d bytes", name, limit)
	}
	return slices.Clone(f.content), nil
}

// Fetch implements models.Store.
func (s *Memory) Fetch(_ context.Context, model string, version int64) (models.Fetched, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := s.files(model, version)
	if err != nil {
		return models.Fetched{}, err
	}
	dir, err := os.MkdirTemp(s.dir, "fetched-")
	if err != nil {
		return models.Fetched{}, err
	}
	for name, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.content, 0o444)); err != nil {
			return models.Fetched{}, errors.Join(err, os.RemoveAll(dir))
		}
	}
	s.copies++
	return models.Fetched{Dir: dir, Release: func() {
		_ = os.RemoveAll(dir)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.copies--
	}}, nil
}

// Staging implements models.Store.
func (s *Memory) Staging(_ context.Context, model string) (string, error) {
	if err := models.CheckModel(model); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, "staging", model)
	return dir, os.MkdirAll(dir, 0o755)
}

// Put implements models.Store.
func (s *Memory) Put(_ context.Context, model string, version int64, staged string) error {
	if err := models.CheckVersion(model, version); err != nil {
		return err
	}
	files := map[string]memoryFile{}
	err := filepath.WalkDir(staged, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(staged, p)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(p)
		files[filepath.ToSlash(rel)] = memoryFile{content: content}
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.model(model)
	if err != nil {
		return err
	}
	if m.versions[version] != nil {
		return fmt.Errorf("models: cannot put %s version %d: %w", model, version, models.ErrExists)
	}
	s.clock++
	for name, f := range files {
		f.tag = s.clock
		files[name] = f
	}
	m.versions[version], s.models[model] = files, m
	return os.RemoveAll(staged)
}

// Remove implements models.Store.
func (s *Memory) Remove(_ context.Context, model string, versions []int64, at models.Revision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.model(model)
	if err != nil {
		return err
	}
	if m.revision != at {
		return fmt.Errorf("models: cannot remove versions of %s: %w", model, models.ErrConflict)
	}
	for _, v := range versions {
		delete(m.versions, v)
	}
	return nil
}

// Pointer implements models.Store.
func (s *Memory) Pointer(_ context.Context, model string) (models.Pointer, models.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.model(model)
	if err != nil {
		return models.Pointer{}, "", err
	}
	if m.pointer == nil {
		return models.Pointer{}, m.revision, fmt.Errorf("%w of %s", models.ErrNoPointer, model)
	}
	return *m.pointer, m.revision, nil
}

// SetPointer implements models.Store.
func (s *Memory) SetPointer(_ context.Context, model string, p models.Pointer, read models.Revision) error {
	if _, err := p.Encode(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.model(model)
	if err != nil {
		return err
	}
	for _, v := range p.Serving() {
		if m.versions[v] == nil {
			return fmt.Errorf("models: cannot point %s at version %d: %w", model, v, models.ErrNoVersion)
		}
	}
	if m.revision != read {
		return fmt.Errorf("models: cannot set the pointer of %s: %w", model, models.ErrConflict)
	}
	s.clock++
	m.pointer, m.revision = &p, models.Revision(strconv.FormatInt(s.clock, 10))
	s.models[model] = m
	return nil
}
