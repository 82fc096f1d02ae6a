package stream

import (
	"cmp"
	"fmt"
	"strconv"
)

// Cursor is the position of one message in a stream. The message may be there, removed, or yet to come. String gives a
// text that can be stored, and ParseCursor reads it. Cursors of one stream can be compared, also by ==. The zero Cursor
// is before the first message.
//
// Positions are numbered from 1, like JetStream's sequences; a Kafka offset is one less. Only implementations, metrics and
// file names use the number. Texts that do not begin with a digit are reserved for cursors that also name their stream.
type Cursor struct{ seq uint64 }

// CursorAt is the cursor of the message with that number. Implementations call it.
func CursorAt(seq uint64) Cursor { return Cursor{seq} }

// Seq is the number, for implementations, metrics and file names.
func (c Cursor) Seq() uint64 { return c.seq }

// IsZero reports whether c is before the first message.
func (c Cursor) IsZero() bool { return c.seq == 0 }

// Next is the position after c.
func (c Cursor) Next() Cursor { return Cursor{c.seq + 1} }

// Compare is negative if c comes before d, 0 if they are equal, positive if c comes after d.
func (c Cursor) Compare(d Cursor) int { return cmp.Compare(c.seq, d.seq) }

// String returns the text that ParseCursor reads. It contains no colon, comma or white space.
func (c Cursor) String() string { return strconv.FormatUint(c.seq, 10) }

// ParseCursor reads what String wrote.
func ParseCursor(text string) (Cursor, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Cursor{}, fmt.Errorf("stream: cannot parse cursor %q: want a decimal number from 0 to 2^64-1", text)
	}
	return Cursor{seq}, nil
}
