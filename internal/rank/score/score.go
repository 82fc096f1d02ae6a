// Package score says what a scorer of campaigns is: something that gives every campaign it knows a logit for one profile.
// The front door (internal/rank) asks; the bank, the workers and other scorers answer.
package score

import "context"

// A Field is one thing known of the user, as ("country", "DE"). Values are normalised by who makes the profile.
type Field struct{ Name, Value string }

// A Profile is what is known of the user who clicks: fields in any order, each name at most once. A field that it lacks
// has the empty text as its value.
type Profile []Field

// A Campaign is one entry of a view.
type Campaign struct {
	ID       string
	Version  uint64  // its classifier's version
	Prior    uint64  // the prior that its classifier adds to; 0 if there is none
	Variance float64 // of the logit, for exploration; 0 if unknown
}

// A Scorer holds the classifiers that serve.
type Scorer interface {
	// View returns what serves now. It never blocks on loads. The caller must release it.
	View() View
}

// A View is an immutable set of classifiers. Its methods may be called by many goroutines at once.
type View interface {
	// Campaigns lists the campaigns by index. The view owns the slice. It is never changed, nor its memory used for
	// another list while somebody holds it, so callers may recognise a list that they know by its address.
	Campaigns() []Campaign
	// Index returns the index of a campaign, or false if the view does not have it.
	Index(campaign string) (int, bool)
	// Prior returns the logit that the newest prior gives the profile, for campaigns without a classifier, and that prior's
	// version: 0 if there is no prior.
	Prior(p Profile) (logit float64, version uint64)
	// Score writes the logit of campaign i to logits[i], for each index i in asked, or for all campaigns of the view if
	// asked is nil; len(logits) must be the number of campaigns. Logits that were not asked for may be anything. Where a
	// campaign that was asked for could not be scored in time or memory, its logit is NaN, and the result says why. An error
	// means that nothing was scored. When Score has returned, it uses neither the texts of p nor asked nor logits any more:
	// the caller's next request has the same memory. The same holds for Prior.
	Score(ctx context.Context, p Profile, asked []int32, logits []float64) (Partial, error)
	// Release gives the view back. It must not be used afterwards.
	Release()
}

// A Partial says why some campaigns have no logit. It is empty if all have one.
type Partial string

const (
	// Deadline: the context ended before all were scored.
	Deadline Partial = "deadline"
	// Memory: some classifiers are not in memory; they are being loaded.
	Memory Partial = "memory"
	// Failed: some classifiers failed for this profile, or their worker died twice.
	Failed Partial = "failed"
)
