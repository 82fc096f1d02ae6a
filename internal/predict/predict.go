// Package predict serves predictions: TensorFlow Serving's REST predict API over the models that score auctions.
//
//	POST /v1/models/{model}[/versions/{n}]:predict     {"instances": [[1, 2, …], …]} → {"predictions": [0.1, …]}
//	                                                   {"inputs": [[1, 2, …], …]}    → {"outputs": [0.1, …]}
//	GET  /v1/models/{model}[/versions/{n}]             the versions that serve, and those refused with the reason
//	GET  /v1/models/{model}[/versions/{n}]/metadata    the signature
//
// A row may also be given under the name of the input: {"instances": [{"rows": [1, 2, …]}, …]} or {"inputs": {"rows":
// [[1, 2, …], …]}}. "signature_name" may name the signature. Without a version, the stable one scores, never a canary,
// so that equal rows get equal answers.
//
// The life of a prediction: while many requests come, the event loop itself starts those of few rows, and answers them
// when their batch has run (direct.go). All others go to a worker, which waits. The body is read into rows in one pass
// (request.go), against the shape of the acquired version. All rows go to that version's queue at once, where they
// share batches with auctions. A request is answered whole or refused whole. Errors are {"error": "…"}; the text names
// each refused row and what is accepted.
package predict

import (
	"errors"
	"time"
)

// Model is a model with its versions. Its methods are called concurrently.
type Model interface {
	// Acquire returns a version, which the caller must Release. Number 0 is the stable version. The error is
	// ErrNoVersion or ErrUnknownVersion.
	Acquire(number int64) (Version, error)
	// Versions returns those that serve, load, or were refused, in any order.
	Versions() []VersionStatus
}

// Version is an acquired version of a model, valid until Release. Its methods are called concurrently, except Release,
// which comes last.
type Version interface {
	Version() int64
	// Shape returns how many indices a row has, and the bound: each must be in [0, tableRows).
	Shape() (rowLen, tableRows int)
	Signature() Signature
	// Score scores len(results) ≥ 1 rows, which follow each other in rows, by the deadline. It keeps neither slice. The
	// error is nil if every row has a probability. Else it is one of those below or the model's own, and the result of
	// each row at fault has an error too.
	Score(rows []int32, deadline time.Time, results []Result) error
	// Start is Score for callers that do not wait. It does not block, and calls done once, possibly before it returns.
	// If no other rows are about to share the batch, a caller that waits is cheaper: then Start returns false and does
	// nothing. It does not keep rows.
	Start(rows []int32, n int, deadline time.Time, done Receiver) bool
	Release()
}

// Receiver gets the results of Start.
type Receiver interface {
	// Scored gets the error of Score, and its results unless no row was accepted. It is called from any goroutine and
	// must not block. It must not keep results.
	Scored(results []Result, err error)
}

// Result is the answer to one row.
type Result struct {
	Probability float32 // valid if Err is nil
	Err         error
}

// Signature is what a version's SavedModel declares: one input, int32[?, rowLen], and one output, float32[?].
type Signature struct {
	Name                      string // "serving_default"
	Input, Output             string // their keys: "rows", "probability"
	InputTensor, OutputTensor string // in the graph, as "op:index"
}

// VersionStatus is the state of one version.
type VersionStatus struct {
	Version int64
	State   State
	Error   string // why it was refused
}

// State is a version's state, in TensorFlow Serving's words.
type State string

const (
	StateLoading   State = "LOADING"
	StateAvailable State = "AVAILABLE"
	StateEnd       State = "END" // refused
)

// The errors of Acquire and Score, wrapped or not, each with the status of the answer.
var (
	ErrNoVersion      = errors.New("predict: no version is loaded yet")            // 503
	ErrUnknownVersion = errors.New("predict: the version does not serve")          // 404
	ErrRow            = errors.New("predict: the model refuses a row")             // 400
	ErrShed           = errors.New("predict: shed")                                // 429
	ErrExpired        = errors.New("predict: the deadline passed before the rows") // 504
	ErrClosed         = errors.New("predict: the model is being closed")           // 503
)
