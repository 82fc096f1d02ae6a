package models

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
)

// The names of files within a version.
const (
	ManifestFile = "assets.extra/manifest.json"
	RecipeFile   = "assets.extra/recipe.yaml"
	GoldenFile   = "assets.extra/golden.msgpack"

	savedModelFile = "saved_model.pb"
)

// The sentinels that callers branch on.
var (
	ErrNoVersion = errors.New("models: no such version")
	ErrExists    = errors.New("models: version exists already")
	ErrNoPointer = errors.New("models: no pointer")
	// ErrBadPointer: the pointer is there and says nothing that can be followed.
	ErrBadPointer = errors.New("models: damaged pointer")
	// ErrConflict: somebody else changed the pointer after it was read; nothing was changed.
	ErrConflict = errors.New("models: the pointer was changed meanwhile")
)

// Store is where the versions of models are kept, and the pointer of each model. Implementations are safe for concurrent
// use, also by several processes. modelstest.Suite is what each of them passes. A model is named as CheckModel allows, a
// version is positive; anything else is an error.
//
// What a store holds is not trusted: whoever loads or publishes a version calls VerifyVersion on its files.
type Store interface {
	// String says where the store is, in logs and errors: a path or URL.
	String() string
	// Models lists the models there are, ascending.
	Models(ctx context.Context) ([]string, error)
	// Versions lists a model's versions, ascending. A listed version need not be sound. A model that is not there has none.
	Versions(ctx context.Context, model string) ([]int64, error)
	// Files lists the files of a version in the order of their names; ErrNoVersion if it has none.
	Files(ctx context.Context, model string, version int64) ([]File, error)
	// Read returns the content of one file of a version, named as in Files. The error wraps fs.ErrNotExist where there is
	// none. A file of more than limit bytes is an error.
	Read(ctx context.Context, model string, version int64, name string, limit int64) ([]byte, error)
	// Fetch brings the files of a version into a local directory, which the caller only reads; ErrNoVersion if there are
	// none. The directory may be the store's own. The caller calls Release when it has read what it needs.
	Fetch(ctx context.Context, model string, version int64) (Fetched, error)

	// Staging makes, if absent, and returns the local directory in which versions of a model are written before Put.
	Staging(ctx context.Context, model string) (string, error)
	// Put makes the staged directory, which lies in Staging, a version. It appears whole and durable, or not at all. An
	// existing version is never replaced (ErrExists). After a Put that succeeded, the staged directory is gone.
	Put(ctx context.Context, model string, version int64, staged string) error
	// Remove removes versions unless the pointer is no longer at the revision: then it returns ErrConflict. No reader
	// finds a part of a removed version.
	Remove(ctx context.Context, model string, versions []int64, at Revision) error

	// Pointer reads a model's pointer with its revision; ErrNoPointer where there is none, ErrBadPointer where it is damaged.
	// The revision is returned beside both, so that SetPointer can make one or mend it.
	Pointer(ctx context.Context, model string) (Pointer, Revision, error)
	// SetPointer replaces the pointer if it is still at the revision that was read; else it returns ErrConflict. p is valid,
	// and each version that it names as stable or canary is there (ErrNoVersion).
	SetPointer(ctx context.Context, model string, p Pointer, read Revision) error
}

// Revision is a state of a pointer, opaque: an entity tag, a checksum. Equal revisions are of equal pointers.
type Revision string

// File is a file of a version.
type File struct {
	Name string // slash-separated, within the version
	Size int64  // bytes
	Tag  string // changes when the content may have: an entity tag, a modification time
}

// Fetched is a local copy of a version, or the store's own directory.
type Fetched struct {
	Dir     string
	Release func() // gives the copy up; it never fails, and may be called once
}

// Notifier is what a Store implements that can tell of changes sooner than polling finds them.
type Notifier interface {
	// Notices begins to listen; Close ends it. Nothing is told before Add.
	Notices() (Notices, error)
}

// Notices tell of changes. They may be late, lost or needless: polling finds what they miss.
type Notices interface {
	// Add asks for notices of a model. It is called again at every poll, and may do nothing: where there is nothing to
	// listen to yet, or too much of it already.
	Add(model string)
	// Remove ends those of a model.
	Remove(model string)
	// C gives the names of models that may have changed. It is closed by Close.
	C() <-chan string
	Close() error
}

var modelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// CheckModel returns an error unless name can be a model's: [a-z][a-z0-9_]{0,62}. Nothing else becomes part of a path.
func CheckModel(name string) error {
	if !modelName.MatchString(name) {
		return fmt.Errorf("models: model name %q is not allowed; use a lower-case letter, then up to 62 of a-z, 0-9 and _", name)
	}
	return nil
}

// CheckVersion is CheckModel, and that version is positive.
func CheckVersion(model string, version int64) error {
	if err := CheckModel(model); err != nil {
		return err
	}
	if version <= 0 {
		return fmt.Errorf("models: version %d of %s is not allowed; versions are positive", version, model)
	}
	return nil
}

// stampOf is a fingerprint of a version's files: their names, sizes and tags, not their contents. It changes whenever
// somebody writes there; 0 where there are none, or they cannot be listed.
func stampOf(ctx context.Context, s Store, model string, version int64) uint64 {
	files, err := s.Files(ctx, model, version)
	if err != nil || len(files) == 0 {
		return 0
	}
	h := fnv.New64a()
	for _, f := range files {
		fmt.Fprintf(h, "%s\x00%d\x00%s\x00", f.Name, f.Size, f.Tag)
	}
	return h.Sum64()
}
