// Package predict serves predictions on request, over the models that score auctions. Three APIs share one port:
//
//	POST /v1/models/{model}[/versions/{n}]:predict     TensorFlow Serving's predict API: rows of indices, or of named columns
//	POST /v1/models:predict                            the same rows, by several models
//	POST /v1/models/{model}[/versions/{n}]:score       candidates of an OpenRTB bid request
//	GET  /v1/models                                    the models' names
//	GET  /v1/models/{model}[/versions/{n}]             the versions that serve, and those refused with the reason
//	GET  /v1/models/{model}[/versions/{n}]/metadata    inputs, outputs and labels
//	/v2 …                                              the Open Inference Protocol (v2.go)
//
// docs/predictions.md shows requests and answers. Without a version, the stable one scores, never a canary, so that equal
// rows get equal answers. A request is answered whole or refused whole. Errors are {"error": "…"}; the text names each
// refused row and what is accepted.
//
// The life of a prediction of indices: while many requests come, the event loop itself starts those of few rows, and
// answers them when their batch has run (direct.go). All others go to a worker, which waits. The body is read into rows in
// one pass (request.go), against the shape of the acquired version. All rows go to that version's queue at once, where they
// share batches with auctions.
//
// Rows of typed columns go to a worker, or are scored on the event loop if the version is quick. They are read in one pass too, into columns (table.go) whose texts lie in pooled
// memory, by the form of the API: named.go, infer.go. The version scores the columns, and answer.go or v2.go writes the
// outputs.
package predict

import (
	"context"
	"errors"
	"time"

	"gavel/internal/auction"
	"gavel/internal/engine"
	"gavel/internal/scoring"
)

// Models are the models that a process serves. They may come and go. Its methods are called concurrently.
type Models interface {
	// Find returns the model with that name; nil if none is served now. It must not keep name, whose memory changes.
	Find(name string) Model
	// Names returns the names of all models, sorted.
	Names() []string
	// ScoreTogether scores n ≥ 1 rows with several versions, no version twice, and sets Err of each part to what its
	// ScoreColumns would return. What equal stages of the versions compute, it computes once.
	ScoreTogether(parts []Together, n int, deadline time.Time)
}

// Together is what one version computes of rows that several versions score at once.
type Together struct {
	Version         Version
	Inputs, Outputs []engine.Column // as those of ScoreColumns; inputs of one name hold equal values in all parts
	Errs            []error         // as that of ScoreColumns
	Err             error
}

// Model is a model with its versions. Its methods are called concurrently.
type Model interface {
	// Acquire returns a version, which the caller must Release. Number 0 is the stable version. The error is
	// scoring.ErrNoVersion, scoring.ErrOtherVersion, or scoring.ErrLoading if this call has the model loaded.
	Acquire(number int64) (Version, error)
	// AcquireBy is Acquire, but waits until the deadline for a model that is being loaded because it was asked for. The error
	// is scoring.ErrLoading if it is not loaded by then.
	AcquireBy(number int64, deadline time.Time) (Version, error)
	// Versions returns those that serve, load, or were refused, in any order.
	Versions() []scoring.VersionStatus
}

// Version is an acquired version of a model, valid until Release. Its methods are called concurrently, except Release,
// which comes last.
type Version interface {
	Version() int64
	// Schema returns the columns of a row and of its outputs. It is read-only.
	Schema() *engine.Schema
	// Labels returns the classes of a classifier, in the order of its probabilities: all string, all int64 or all float64.
	// It is empty if the model has none.
	Labels() []any
	// Shape returns how many indices a row has, and the bound: each must be in [0, tableRows). Both are 0 if the rows are no
	// indices of a recipe's encoder.
	Shape() (rowLen, tableRows int)
	// Format returns which of the version's formats serves, as scoring.FormatPlan.
	Format() string
	// Signature returns the names of the version's SavedModel, also where another of its formats serves; empty ones if it has none.
	Signature() scoring.Signature
	// Score scores len(results) ≥ 1 rows of indices, which follow each other in rows, by the deadline. It keeps neither
	// slice. The error is nil if every row has a probability. Else it is scoring.ErrRow, ErrShed, ErrExpired or ErrClosed,
	// or the model's own, and the result of each row at fault has an error too.
	Score(rows []int32, deadline time.Time, results []scoring.Result) error
	// Start is Score for callers that do not wait. It does not block, and calls done once, possibly before it returns.
	// If no other rows are about to share the batch, a caller that waits is cheaper: then Start returns false and does
	// nothing. It does not keep rows.
	Start(rows []int32, n int, deadline time.Time, done scoring.Receiver) bool
	// ScoreColumns scores n ≥ 1 rows of inputs, the columns of Schema().Inputs, into outputs, the columns of
	// Schema().Outputs. Errors are as Score's; errs[i] says why row i has no outputs. Only if the error is nil, no batch
	// reads the inputs' texts after it returns.
	ScoreColumns(inputs []engine.Column, n int, deadline time.Time, outputs []engine.Column, errs []error) error
	// ScoreCandidates scores candidates of req, encoded as in an auction. Errors are as Score's, or scoring.ErrNoRecipe.
	ScoreCandidates(req *auction.Request, candidates []auction.Candidate, deadline time.Time, results []scoring.Result) error
	Release()
}

// Auctions reads what :score scores. Its methods are called concurrently.
type Auctions interface {
	// Decode reads an OpenRTB bid request of an exchange into raw, and does not keep body; exchange may be "". It returns what
	// the law allows of it, in raw's memory. The error is the caller's fault.
	Decode(body []byte, exchange string, received time.Time, raw *auction.Raw) (*auction.Request, error)
	// Candidate returns the candidate that an impression makes with a campaign; creative may be "". The error names what is
	// unknown.
	Candidate(req *auction.Request, impression, campaign, creative string) (auction.Candidate, error)
}

// served implements Models over the models of the process.
type served struct{ all *scoring.Models }

// Served are all models that the process serves.
func Served(all *scoring.Models) Models { return served{all} }

func (s served) Names() []string { return s.all.Names() }

func (s served) Find(name string) Model {
	if m := s.all.Find(name); m != nil {
		return servedModel{m}
	}
	return nil
}

// ScoreTogether implements Models.
func (s served) ScoreTogether(parts []Together, n int, deadline time.Time) {
	all := make([]scoring.Together, len(parts))
	for i, p := range parts {
		all[i] = scoring.Together{Version: p.Version.(*scoring.Version), Inputs: p.Inputs, Outputs: p.Outputs, Errs: p.Errs}
	}
	s.all.ScoreTogether(all, n, deadline)
	for i := range all {
		parts[i].Err = all[i].Err
	}
}

// servedModel implements Model over a model of the process.
type servedModel struct{ *scoring.Model }

// AcquireBy implements Model.
func (s servedModel) AcquireBy(number int64, deadline time.Time) (Version, error) {
	v, err := s.Acquire(number)
	if !errors.Is(err, scoring.ErrLoading) {
		return v, err
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	loaded, err := s.AcquireWithin(ctx, number)
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

// Acquire implements Model.
func (s servedModel) Acquire(number int64) (Version, error) {
	v, err := s.AcquireVersion(number)
	if err != nil {
		return nil, err // not a nil *scoring.Version in the interface
	}
	return v, nil
}
