package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Version is what a loader is given: the files of one format of one version, already verified against their checksums,
// and what the manifest says of them.
type Version struct {
	Model  string
	Number int64
	Dir    string // the folder of the format's files; the version's root for a SavedModel
	// RowLen and TableRows describe rows of indices: int32[RowLen], each in [0, TableRows). Both are 0 where rows are not.
	RowLen    int
	TableRows int
	// Objects are the sums of the objects that the manifest lists, which stay in the store as long as the version; nil if it
	// lists none, as where the format has none.
	Objects map[string]int64
	// Signature names the model's input and output, where the format has names for them.
	Signature Signature
}

// Signature names a SavedModel's signature and, in the graph, its one input and one output.
type Signature struct {
	Name         string `json:"name"`          // key of the SignatureDef: "serving_default"
	Input        string `json:"input"`         // key of the input: "rows", int32[?, RowLen]
	Output       string `json:"output"`        // key of the output: "probability", float32[?]
	InputTensor  string `json:"input_tensor"`  // "op:index" in the graph
	OutputTensor string `json:"output_tensor"` // "op:index" in the graph
}

// Loader opens a version. It checks what it can without running rows; golden rows and warming are the caller's. An error
// that is the version's fault wraps ErrLoad or ErrSignature; ctx's is returned as it is. The caller closes the engine.
type Loader func(ctx context.Context, v Version) (Engine, error)

// Loaders are the engines that a process has, by the name of the format that they serve: "savedmodel", "plan".
type Loaders map[string]Loader

// Load opens a version in the given format. It returns ErrFormat, naming the formats there are, if none serves it.
func (l Loaders) Load(ctx context.Context, format string, v Version) (Engine, error) {
	load, ok := l[format]
	if !ok {
		return nil, fmt.Errorf("%w %q of %s version %d; this program has %q", ErrFormat, format, v.Model, v.Number,
			slices.Sorted(maps.Keys(l)))
	}
	return load(ctx, v)
}
