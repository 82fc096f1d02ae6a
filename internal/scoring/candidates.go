package scoring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gavel/internal/auction"
	"gavel/internal/batcher"
)

// ErrNoRecipe is the answer to candidates for a version whose rows nothing encodes.
var ErrNoRecipe = errors.New("scoring: the version has no recipe, so it cannot score candidates")

// ScoreCandidates scores the candidates of a request, n = len(results) ≥ 1 of them, and waits until they are done or the
// deadline passes. The version's own recipe encodes them, as it does in an auction. It keeps nothing of its arguments. Results
// and the error are as Score's, or the error is ErrNoRecipe.
func (v *Version) ScoreCandidates(req *auction.Request, candidates []auction.Candidate, deadline time.Time, results []Result) error {
	if v.encoder == nil {
		return fmt.Errorf("%w: send version %d its columns", ErrNoRecipe, v.Version())
	}
	ticket, err := v.claim(len(results), deadline, func(t *batcher.Ticket) {
		encoding := v.encoder.Begin(req)
		for i := range candidates {
			encoding.Encode(&candidates[i], t.Row(i))
		}
		encoding.End()
	})
	if err != nil {
		return err
	}
	return ticket.Wait(context.Background(), results)
}
