package join

import (
	"fmt"
	"strconv"
	"strings"

	"gavel/internal/stream"
)

// Position says how far a Joiner has come: Add has returned all examples up to it. A trainer's checkpoint stores it. The
// zero Position is the start of the stream.
type Position struct {
	Low       stream.Cursor // first message to read again; earlier ones are no longer needed
	High      stream.Cursor // Add has returned every example that messages up to this one completed …
	Skip      uint64        // … and the first Skip examples of later messages
	Watermark int64         // Unix ms, before message Low
}

// String returns the text that ParsePosition reads: "low:high:skip:watermark".
func (p Position) String() string {
	return fmt.Sprintf("%s:%s:%d:%d", p.Low, p.High, p.Skip, p.Watermark)
}

// Start is the first message to read: Low, or the first of the stream.
func (p Position) Start() stream.Cursor {
	if p.Low.IsZero() {
		return p.Low.Next()
	}
	return p.Low
}

// ParsePosition reads what String wrote. "" is the zero Position.
func ParsePosition(s string) (Position, error) {
	var p Position
	if s == "" {
		return p, nil
	}
	bad := func(why string) (Position, error) {
		return Position{}, fmt.Errorf("join: cannot parse position %q: %s (want low:high:skip:watermark)", s, why)
	}
	parts := strings.Split(s, ":")
	if len(parts) != 4 {
		return bad("it has " + strconv.Itoa(len(parts)) + " parts")
	}
	var err error
	if p.Low, err = stream.ParseCursor(parts[0]); err != nil {
		return bad(err.Error())
	}
	if p.High, err = stream.ParseCursor(parts[1]); err != nil {
		return bad(err.Error())
	}
	if p.Skip, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
		return bad(err.Error())
	}
	if p.Watermark, err = strconv.ParseInt(parts[3], 10, 64); err != nil {
		return bad(err.Error())
	}
	if p.Low.Compare(p.High.Next()) > 0 {
		return bad("low is beyond high")
	}
	return p, nil
}
