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
	onnxFile       = "onnx/model.onnx"
	estimatorFile  = "workers/estimator.json"

	// PlanFile is the plan of a version that has one.
	PlanFile = "plan/plan.msgpack"

	// ObjectsDir is where the parameters of plans lie in a store that is a directory. No model has this name.
	ObjectsDir = "objects"
)

// The errors that callers distinguish.
var (
	ErrNoVersion = errors.New("models: no such version")
	ErrExists    = errors.New("models: version exists already")
	ErrNoPointer = errors.New("models: no pointer")
	// ErrBadPointer: there is a pointer, but it is damaged.
	ErrBadPointer = errors.New("models: damaged pointer")
	// ErrConflict: another process changed the pointer after it was read. This call changed nothing.
	ErrConflict = errors.New("models: the pointer was changed meanwhile")
)

// Store keeps the versions of models, and the pointer of each model. Implementations are safe for concurrent use, also by
// several processes, and must pass modelstest.Suite. A model's name that CheckModel refuses, or a version that is not
// positive, is an error.
//
// The content of a store is not trusted: callers that load or publish a version must call VerifyVersion on its files.
type Store interface {
	// String says where the store is, in logs and errors: a path or URL.
	String() string
	// Models lists all models, ascending.
	Models(ctx context.Context) ([]string, error)
	// Versions lists a model's versions, ascending. A listed version may be damaged. An unknown model has none.
	Versions(ctx context.Context, model string) ([]int64, error)
	// Files lists the files of a version in the order of their names; ErrNoVersion if it has none.
	Files(ctx context.Context, model string, version int64) ([]File, error)
	// Read returns the content of one file of a version, named as in Files. If there is none, the error wraps
	// fs.ErrNotExist. A file of more than limit bytes is an error.
	Read(ctx context.Context, model string, version int64, name string, limit int64) ([]byte, error)
	// Fetch copies the files of a version into a local directory, or returns the store's own directory. The caller may only
	// read it, and must call Release afterwards. If the version has no files, the error is ErrNoVersion.
	Fetch(ctx context.Context, model string, version int64) (Fetched, error)

	// Staging returns the local directory in which versions of a model are written before Put. It makes it if absent.
	Staging(ctx context.Context, model string) (string, error)
	// Put makes a version of the staged directory, which must be in Staging. The version appears whole and durable, or not
	// at all. An existing version is never replaced (ErrExists). If Put succeeds, the staged directory no longer exists.
	Put(ctx context.Context, model string, version int64, staged string) error
	// Remove removes versions. If the pointer is no longer at the revision, it returns ErrConflict and removes none. No
	// reader finds a part of a removed version.
	Remove(ctx context.Context, model string, versions []int64, at Revision) error

	// Pointer reads a model's pointer with its revision. If there is none, the error is ErrNoPointer; if it is damaged,
	// ErrBadPointer. Both errors come with a revision, so that SetPointer can make or replace the pointer.
	Pointer(ctx context.Context, model string) (Pointer, Revision, error)
	// SetPointer replaces the pointer if it is still at the revision that was read; otherwise it returns ErrConflict. p must
	// be valid. If its stable version or its canary does not exist, the error is ErrNoVersion.
	SetPointer(ctx context.Context, model string, p Pointer, read Revision) error
}

// Revision identifies a state of a pointer, for example by an entity tag or checksum. It is opaque. Equal revisions mean
// equal pointers.
type Revision string

// File is a file of a version.
type File struct {
	Name string // slash-separated, within the version
	Size int64  // bytes
	Tag  string // differs if the content may have changed: an entity tag, a modification time
}

// Fetched is a local copy of a version, or the store's own directory.
type Fetched struct {
	Dir     string
	Release func() // releases the copy; it never fails, and may be called once
}

// Stamper is implemented by a Store that can tell cheaply whether a model may have changed.
type Stamper interface {
	// Stamp differs if the model's versions or its pointer may have changed. It says nothing of the files within versions. ok is
	// false if it is not known.
	Stamp(ctx context.Context, model string) (stamp uint64, ok bool)
}

// Notifier is implemented by a Store that can report changes sooner than polling finds them.
type Notifier interface {
	// Notices starts to listen, until Close. It reports nothing before Add.
	Notices() (Notices, error)
}

// Notices reports changes. Notices may be late, lost or needless; polling finds the changes that they miss.
type Notices interface {
	// Add asks for notices of a model. It is called again at every poll. It may do nothing if the model does not exist yet,
	// or too many are listened to already.
	Add(model string)
	// Remove ends the notices of a model.
	Remove(model string)
	// C delivers the names of models that may have changed. Close closes it.
	C() <-chan string
	Close() error
}

var modelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// CheckModel returns an error unless name is a valid model name, [a-z][a-z0-9_]{0,62}, and not ObjectsDir. Only such names become part of a path.
func CheckModel(name string) error {
	if !modelName.MatchString(name) || name == ObjectsDir {
		return fmt.Errorf("models: model name %q is not allowed; use a lower-case letter, then up to 62 of a-z, 0-9 and _, but not %q", name, ObjectsDir)
	}
	return nil
}

// CheckVersion is like CheckModel, and also checks that version is positive.
func CheckVersion(model string, version int64) error {
	if err := CheckModel(model); err != nil {
		return err
	}
	if version <= 0 {
		return fmt.Errorf("models: version %d of %s is not allowed; versions are positive", version, model)
	}
	return nil
}

// stampOf is a fingerprint of the names, sizes and tags of a version's files, so it changes when a file is written. It is 0
// if there are no files, or they cannot be listed.
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
