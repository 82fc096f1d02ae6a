package events

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is where a Joiner stands: all examples up to it have been handed out. It is what a trainer's checkpoint
// stores. The zero Position is the start of the stream.
type Position struct {
	Low       uint64 // first sequence to read again: nothing before it is needed any more
	High      uint64 // every example that a message up to this sequence completed has been handed out …
	Skip      uint64 // … and so have the first Skip examples of the messages after it
	Watermark int64  // Unix ms, as it stood before Low
}

// String is the position as ParsePosition reads it: "low:high:skip:watermark".
func (p Position) String() string {
	return fmt.Sprintf("%d:%d:%d:%d", p.Low, p.High, p.Skip, p.Watermark)
}

// Start is the first sequence to read: Low, at least 1.
func (p Position) Start() uint64 { return max(p.Low, 1) }

// ParsePosition reads what String wrote. "" is the zero Position.
func ParsePosition(s string) (Position, error) {
	var p Position
	if s == "" {
		return p, nil
	}
	bad := func(why string) (Position, error) {
		return Position{}, fmt.Errorf("events: cannot parse position %q: %s (want low:high:skip:watermark)", s, why)
	}
	parts := strings.Split(s, ":")
	if len(parts) != 4 {
		return bad("it has " + strconv.Itoa(len(parts)) + " parts")
	}
	for i, to := range []*uint64{&p.Low, &p.High, &p.Skip} {
		v, err := strconv.ParseUint(parts[i], 10, 64)
		if err != nil {
			return bad(err.Error())
		}
		*to = v
	}
	w, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return bad(err.Error())
	}
	p.Watermark = w
	if p.Low > p.High+1 {
		return bad("low is beyond high")
	}
	return p, nil
}
