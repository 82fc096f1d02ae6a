package classifiers

import "errors"

// ErrPrior is that a classifier's prior does not serve.
var ErrPrior = errors.New("its prior is absent")

// A Change adds a classifier or prior, or removes one.
type Change struct {
	File     *File  // to serve; it replaces the campaign's earlier one
	Campaign string // if there is no file: whose classifier to remove
	Prior    uint64 // if there is neither: the version of the prior to remove, with all classifiers that are deltas to it
}

// A Sink is what serves classifiers.
type Sink interface {
	// Apply makes changes, all at once for who scores: removals, then priors, then classifiers, each in the order given. It
	// returns an error for each, or nil: one that wraps ErrPrior if the classifier's prior is not there, ErrGolden if golden
	// probabilities differ. A classifier that is refused leaves the earlier one in place. The sink keeps no file.
	Apply(changes []Change) []error
}
