package join

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"gavel/internal/events"
)

// Options configures a joiner. Durations are of event time, in whole milliseconds.
type Options struct {
	// Label is events.TypeClick (P(click | impression)) or events.TypeConversion (P(conversion | click)).
	Label events.Type
	// BidWait is how long after its bid an anchor may come.
	BidWait time.Duration
	// LabelWait is how long after its anchor a positive event still counts.
	LabelWait time.Duration
	// Reorder is how far events may be out of order. It delays every example by as much. 0: 2 s.
	Reorder time.Duration
	// MaxPending bounds the ids remembered. Each takes some 150 bytes, and about 400 more for the encoded bid while it may
	// still be joined. 0: 2,000,000. Beyond it new ids are refused and counted, and examples are no longer exact.
	MaxPending int
}

// fill sets the defaults. Its error names every fault.
func (o *Options) fill() error {
	var errs []error
	if o.Label != events.TypeClick && o.Label != events.TypeConversion {
		errs = append(errs, fmt.Errorf("label %q: want click or conversion", o.Label))
	}
	if o.BidWait < time.Millisecond {
		errs = append(errs, fmt.Errorf("bid wait %v: want 1 ms or more (join.bid_wait_seconds)", o.BidWait))
	}
	if o.LabelWait < time.Millisecond {
		errs = append(errs, fmt.Errorf("label wait %v: want 1 ms or more (join.label_wait_seconds)", o.LabelWait))
	}
	if o.Reorder < 0 || o.MaxPending < 0 {
		errs = append(errs, fmt.Errorf("reorder %v, max pending %d: want no less than 0", o.Reorder, o.MaxPending))
	}
	o.Reorder = cmp.Or(o.Reorder, 2*time.Second)
	o.MaxPending = cmp.Or(o.MaxPending, 2_000_000)
	return errors.Join(errs...)
}

// Stats counts what the joiner has done since New.
type Stats struct {
	Events     uint64 // taken, of any type
	Examples   uint64 // returned by Add
	Positives  uint64 // of those, with label 1
	Suppressed uint64 // completed again after a resume, and not returned again
	Duplicates uint64 // repeated events, which changed nothing
	Late       uint64 // too old for the watermark
	Unbid      uint64 // anchors whose bid never came
	Unmatched  uint64 // bids whose anchor never came
	Refused    uint64 // ids beyond MaxPending
	Damaged    uint64 // bids whose body could not be read
	Foreign    uint64 // events of a later schema
	Ahead      uint64 // events with a time ahead of their message's, which replaces it
	Pending    int    // ids remembered now
}

// Example is one row to learn from, before it is encoded.
type Example struct {
	ID    string             // bid id
	Bid   *events.BidContext // request and candidate: Bid.Candidate()
	Label float32            // 0 or 1
	Time  int64              // event time of the anchor, Unix ms
	Pos   Position           // where to resume when this example, and all before it, are learnt
}
