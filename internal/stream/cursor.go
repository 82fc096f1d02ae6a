package stream

import (
	"cmp"
	"fmt"
	"strconv"
)

// Cursor is the place of one message in a stream, whether that message is there, no longer there, or yet to come. Its
// text can be stored, and read again by ParseCursor. Cursors of one stream compare, and == works. The zero Cursor is
// before the first message.
//
// Places are numbered from 1, as JetStream's sequences are; a Kafka offset is one less. Only forms, metrics and file names
// use the number. A text that does not begin with a digit is kept for cursors that name their stream as well.
type Cursor struct{ seq uint64 }

// CursorAt is the cursor of the message with a number. Forms call it.
func CursorAt(seq uint64) Cursor { return Cursor{seq} }

// Seq is the number, for forms, metrics and file names.
func (c Cursor) Seq() uint64 { return c.seq }

// IsZero says whether c is before the first message.
func (c Cursor) IsZero() bool { return c.seq == 0 }

// Next is the place behind c.
func (c Cursor) Next() Cursor { return Cursor{c.seq + 1} }

// Compare is negative if c comes before d, 0 if they are the same place, positive if c comes after d.
func (c Cursor) Compare(d Cursor) int { return cmp.Compare(c.seq, d.seq) }

// String is the text that ParseCursor reads. It holds no colon, comma or white space.
func (c Cursor) String() string { return strconv.FormatUint(c.seq, 10) }

// ParseCursor reads what String wrote.
func ParseCursor(text string) (Cursor, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return Cursor{}, fmt.Errorf("stream: cannot parse cursor %q: want a decimal number from 0 to 2^64-1", text)
	}
	return Cursor{seq}, nil
}
