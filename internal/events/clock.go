package events

import "time"

// maxAhead is how far an event's time may be ahead of its message's time in the stream. Beyond it, the event's clock counts as
// wrong. One wrong clock must not move the watermark past other processes' events.
const maxAhead = 5 * time.Minute

// TimeOf returns the time of an event of m, Unix ms. If the event's own is too far ahead of the message's, the message's
// replaces it, and ahead is true. A message without a time replaces none.
func (m *Message) TimeOf(e *Event) (ms int64, ahead bool) {
	if !m.Time.IsZero() && e.Time > m.Time.Add(maxAhead).UnixMilli() {
		return m.Time.UnixMilli(), true
	}
	return e.Time, false
}
