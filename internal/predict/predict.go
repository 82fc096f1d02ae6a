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
	"time"

	"gavel/internal/scoring"
)

// Model is a model with its versions. Its methods are called concurrently.
type Model interface {
	// Acquire returns a version, which the caller must Release. Number 0 is the stable version. The error is
	// scoring.ErrNoVersion or scoring.ErrOtherVersion.
	Acquire(number int64) (Version, error)
	// Versions returns those that serve, load, or were refused, in any order.
	Versions() []scoring.VersionStatus
}

// Version is an acquired version of a model, valid until Release. Its methods are called concurrently, except Release,
// which comes last.
type Version interface {
	Version() int64
	// Shape returns how many indices a row has, and the bound: each must be in [0, tableRows).
	Shape() (rowLen, tableRows int)
	Signature() scoring.Signature
	// Score scores len(results) ≥ 1 rows, which follow each other in rows, by the deadline. It keeps neither slice. The
	// error is nil if every row has a probability. Else it is scoring.ErrRow, ErrShed, ErrExpired or ErrClosed, or the
	// model's own, and the result of each row at fault has an error too.
	Score(rows []int32, deadline time.Time, results []scoring.Result) error
	// Start is Score for callers that do not wait. It does not block, and calls done once, possibly before it returns.
	// If no other rows are about to share the batch, a caller that waits is cheaper: then Start returns false and does
	// nothing. It does not keep rows.
	Start(rows []int32, n int, deadline time.Time, done scoring.Receiver) bool
	Release()
}

// served implements Model over a model of the process.
type served struct{ *scoring.Model }

// Acquire implements Model.
func (s served) Acquire(number int64) (Version, error) {
	v, err := s.AcquireVersion(number)
	if err != nil {
		return nil, err // not a nil *scoring.Version in the interface
	}
	return v, nil
}

// Served are all models that the process serves, by name.
func Served(all *scoring.Models) map[string]Model {
	models := map[string]Model{}
	for _, name := range all.Names() {
		models[name] = served{all.Find(name)}
	}
	return models
}
