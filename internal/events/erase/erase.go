// Package erase removes one user's identifiers and profile from the events of a stream.
package erase

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/privacy"
	"gavel/internal/stream"
)

// Report says what was erased.
type Report struct {
	Read     int // messages of the stream
	Messages int // that were written anew
	Bids     int // whose identifiers and profile were erased
}

// User erases a user, who is known by ids: of a user (id or buyeruid) or an address (IP). It reads the stream from its start to
// the end that it has now. A message with a bid of that user is written anew, with the bid as a contextual one, and then the old
// message is overwritten and removed. All its events keep their ids. If User ends early, call it again. A message that is damaged
// and holds one of the ids keeps only the events before the damage.
func User(ctx context.Context, s stream.Eraser, ids []string) (Report, error) {
	var report Report
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
	if len(ids) == 0 {
		return report, fmt.Errorf("erase: no identifier given")
	}
	reader, err := s.Open(ctx, stream.Cursor{})
	if err != nil {
		return report, fmt.Errorf("erase: cannot read the stream: %w", err)
	}
	defer reader.Close()
	state, err := s.State(ctx)
	if err != nil {
		return report, err
	}
	for last := reader.Last(); state.Messages > 0; {
		entry, err := reader.Next(ctx)
		if err != nil {
			return report, fmt.Errorf("erase: cannot read the stream: %w", err)
		}
		if entry.At.Seq() > last.Seq() {
			break // what was written anew
		}
		report.Read++
		if err := report.message(ctx, s, entry, ids); err != nil {
			return report, err
		}
		if entry.At.Seq() == last.Seq() {
			break
		}
	}
	return report, nil
}

// message erases the user from one message.
func (r *Report) message(ctx context.Context, s stream.Eraser, entry stream.Entry, ids []string) error {
	if !slices.ContainsFunc(ids, func(id string) bool { return bytes.Contains(entry.Data, []byte(id)) }) {
		return nil
	}
	m := codec.Read(entry)
	for i := range m.Events {
		if v := m.Events[i].Version; v != events.Schema { // writing it anew would lose its body
			return fmt.Errorf("erase: the message at %v holds the identifier and an event of schema %d, this build reads %d: update it", entry.At, v, events.Schema)
		}
	}
	bids := 0
	for i := range m.Events {
		e := &m.Events[i]
		if e.Type != events.TypeBid {
			continue
		}
		bid, err := codec.Bid(e)
		if err != nil {
			return fmt.Errorf("erase: the message at %v holds the identifier, but its bid cannot be read: %w", entry.At, err)
		}
		if is(&bid.Request, ids) {
			bid.Request.Privacy.Detail = false
			privacy.Erase(&bid.Request)
			e.Bid, e.Body = bid, nil
			bids++
		}
	}
	if bids == 0 && m.Damaged == nil {
		return nil // a part of something else
	}
	// The id is of the erased position, so that a second attempt is not stored twice.
	anew := stream.Message{ID: fmt.Sprintf("erased:%d", entry.At.Seq()), Source: entry.Source, Data: codec.Encode(m.Events)}
	if _, err := s.Publish(ctx, []stream.Message{anew}); err != nil {
		return fmt.Errorf("erase: cannot write the message at %v anew: %w", entry.At, err)
	}
	if err := s.Erase(ctx, entry.At); err != nil {
		return fmt.Errorf("erase: cannot remove the message at %v: %w", entry.At, err)
	}
	r.Messages++
	r.Bids += bids
	return nil
}

// is reports whether a request is of the user.
func is(req *auction.Request, ids []string) bool {
	return slices.Contains(ids, req.User.ID) || slices.Contains(ids, req.User.BuyerUID) || slices.Contains(ids, req.Device.IP)
}
