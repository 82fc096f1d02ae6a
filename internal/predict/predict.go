// Package predict scores rows on request: TensorFlow Serving's REST predict API over the models that serve auctions.
//
//	POST /v1/models/{model}[/versions/{n}]:predict     {"instances": [[1, 2, …], …]} → {"predictions": [0.1, …]}
//	                                                   {"inputs": [[1, 2, …], …]}    → {"outputs": [0.1, …]}
//	GET  /v1/models/{model}[/versions/{n}]             which versions serve, which were refused and why
//	GET  /v1/models/{model}[/versions/{n}]/metadata    the signature
//
// A row may also be named by its input, {"instances": [{"rows": [1, 2, …]}, …]} or {"inputs": {"rows": [[1, 2, …], …]}},
// and "signature_name" may say which signature is meant. Without a version it is the stable one that scores, never a
// canary, so that equal rows get equal answers.
//
// The life of a prediction: where many come, the edge's loop itself starts those of few rows and answers them when their
// batch has run (direct); all others have a worker, who waits. The body is read into rows in one pass (request), against the
// shape of the version that was acquired; all of them go to that version's queue at once, where they share batches with
// auctions; the answer is written into memory that is used again. A request is answered whole or refused whole. Errors are
// {"error": "…"}, which names each refused row and what would be accepted.
package predict

import (
	"errors"
	"time"
)

// Model is a model by its versions. Its methods are called concurrently.
type Model interface {
	// Acquire returns a version for the caller to Release: the stable one where number is 0. The error is ErrNoVersion
	// or ErrUnknownVersion.
	Acquire(number int64) (Version, error)
	// Versions are those that serve, load, or were refused, in any order.
	Versions() []VersionStatus
}

// Version is an acquired version of a model, to be used until Release. Its methods are called concurrently, but for
// Release, which comes last.
type Version interface {
	Version() int64
	// Shape is how many indices a row holds, and the bound below which they lie.
	Shape() (rowLen, tableRows int)
	Signature() Signature
	// Score answers len(results) ≥ 1 rows, one after the other in rows, by the deadline, and keeps neither slice. The
	// error is nil if every row has a probability, else one of those below or the model's own; a row at fault has it in
	// its result.
	Score(rows []int32, deadline time.Time, results []Result) error
	// Start is Score for callers who do not wait: it does not block, and done is told once, maybe within. It returns false,
	// and has done nothing, where a caller who waits is served better, since no others are about to share its batch. rows
	// is not kept.
	Start(rows []int32, n int, deadline time.Time, done Receiver) bool
	Release()
}

// Receiver is told what became of rows that were started.
type Receiver interface {
	// Scored has the error of Score, and its results unless no row was taken. It is called by any goroutine and must not
	// block; results are not to be kept.
	Scored(results []Result, err error)
}

// Result is the answer to one row.
type Result struct {
	Probability float32 // valid where Err is nil
	Err         error
}

// Signature is what a version's SavedModel declares: one input, int32[?, rowLen], and one output, float32[?].
type Signature struct {
	Name                      string // "serving_default"
	Input, Output             string // their keys: "rows", "probability"
	InputTensor, OutputTensor string // in the graph, as "op:index"
}

// VersionStatus is a version as its model's owner sees it.
type VersionStatus struct {
	Version int64
	State   State
	Error   string // why it was refused
}

// State is where a version is in its life, in TensorFlow Serving's words.
type State string

const (
	StateLoading   State = "LOADING"
	StateAvailable State = "AVAILABLE"
	StateEnd       State = "END" // refused
)

// What Acquire and Score return, wrapped or not; the comment says how it is answered.
var (
	ErrNoVersion      = errors.New("predict: no version is loaded yet")            // 503
	ErrUnknownVersion = errors.New("predict: the version does not serve")          // 404
	ErrRow            = errors.New("predict: the model refuses a row")             // 400
	ErrShed           = errors.New("predict: shed")                                // 429
	ErrExpired        = errors.New("predict: the deadline passed before the rows") // 504
	ErrClosed         = errors.New("predict: the model is being closed")           // 503
)
