package join_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/eventstest"
	"gavel/internal/events/join"
	"gavel/internal/stream"
)

// story builds a stream by hand: f("b1 bid 0") is an event of bid b1 at 0 s; commas put several into one message.
func story(t *testing.T, from uint64, lines ...string) []events.Message {
	t.Helper()
	var out []events.Message
	for i, line := range lines {
		m := events.Message{At: stream.CursorAt(from + uint64(i))}
		for part := range strings.SplitSeq(line, ", ") {
			var id, typ string
			var at float64
			if _, err := fmt.Sscanf(part, "%s %s %g", &id, &typ, &at); err != nil {
				t.Fatalf("%q: %v", part, err)
			}
			e := events.Event{ID: events.EventID(events.Type(typ), id), Type: events.Type(typ), Key: id, Time: int64(at * 1000), Version: events.Schema}
			if e.Type == events.TypeBid {
				e.Bid = &events.BidContext{}
				e.Bid.Request.ID = id
			}
			m.Events = append(m.Events, e)
		}
		decoded, err := codec.Decode(codec.Encode(m.Events))
		if err != nil {
			t.Fatal(err)
		}
		m.Events = decoded
		out = append(out, m)
	}
	return out
}

func show(examples []join.Example) string {
	var b strings.Builder
	for _, e := range examples {
		fmt.Fprintf(&b, "%s=%g@%g ", e.ID, e.Label, float64(e.Time)/1000)
	}
	return strings.TrimSpace(b.String())
}

func joinAll(t *testing.T, j *join.Joiner, messages []events.Message) (out []join.Example) {
	t.Helper()
	for i := range messages {
		var err error
		if out, err = j.Add(&messages[i], out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestJoin(t *testing.T) {
	clicks := join.Options{Label: events.TypeClick, BidWait: 60 * time.Second, LabelWait: 5 * time.Second, Reorder: time.Second}
	conversions := clicks
	conversions.Label = events.TypeConversion
	f := func(name string, o join.Options, want string, stats join.Stats, lines ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			j, err := join.New(o, join.Position{})
			if err != nil {
				t.Fatal(err)
			}
			got := joinAll(t, j, story(t, 1, lines...))
			if s := show(got); s != want {
				t.Errorf("examples %q, want %q", s, want)
			}
			for _, e := range got {
				if e.Bid.Request.ID != e.ID {
					t.Errorf("example %s has the bid of %s", e.ID, e.Bid.Request.ID)
				}
			}
			s := j.Stats()
			s.Events, s.Examples, s.Positives, s.Pending = 0, 0, 0, 0
			if s != stats {
				t.Errorf("stats %+v, want %+v", s, stats)
			}
		})
	}
	f("click and no click, in order of due time", clicks, "a=1@1 b=0@2", join.Stats{},
		"a bid 0, b bid 0", "a impression 1", "b impression 2", "a click 5.9", "tick tick 6.9", "tick tick 8")
	f("nothing before it is due", clicks, "", join.Stats{}, "a bid 0", "a impression 1", "a click 2", "tick tick 6.999")
	f("a click after the wait does not count", clicks, "a=0@1", join.Stats{},
		"a bid 0", "a impression 1", "a click 6.001", "tick tick 9")
	f("out of order within a second", clicks, "a=1@1", join.Stats{},
		"a click 2", "a impression 1", "a bid 0.5", "tick tick 7")
	f("duplicates change nothing", clicks, "a=1@1", join.Stats{Duplicates: 5},
		"a bid 0, a bid 0", "a impression 1", "a impression 3", "a click 2", "a click 3", "tick tick 9", "a impression 9, a bid 0", "tick tick 80")
	f("a duplicate after all is forgotten is late", clicks, "a=0@1", join.Stats{Late: 2},
		"a bid 0", "a impression 1", "tick tick 70", "a bid 0, a impression 1", "tick tick 90")
	f("an impression beyond the bid's wait", clicks, "", join.Stats{Late: 1, Unmatched: 1},
		"a bid 0", "a impression 60.001", "tick tick 200")
	f("an impression without its bid", clicks, "", join.Stats{Unbid: 1}, "a impression 1", "tick tick 200")
	f("a gap in the stream loses no example", clicks, "a=0@1 b=1@5000", join.Stats{},
		"a bid 0", "a impression 1", "b bid 5000, b impression 5000, b click 5001", "tick tick 6000")
	f("conversion counts from the click", conversions, "a=1@2 b=0@3", join.Stats{},
		"a bid 0, b bid 0", "a impression 1", "a click 2, b click 3", "a conversion 7", "tick tick 20")
	f("any event moves the watermark", clicks, "a=1@1", join.Stats{},
		"a bid 0", "a impression 1", "a click 2", "x win 7")
}

func TestJoinClockAhead(t *testing.T) {
	j, err := join.New(join.Options{Label: events.TypeClick, BidWait: time.Minute, LabelWait: time.Second}, join.Position{})
	if err != nil {
		t.Fatal(err)
	}
	m := story(t, 1, "a bid 100, x win 99999")
	m[0].Time = time.UnixMilli(100_500)
	joinAll(t, j, m)
	if got := j.Watermark().UnixMilli(); got != 100_500 || j.Stats().Ahead != 1 {
		t.Errorf("watermark %d, ahead %d", got, j.Stats().Ahead)
	}
}

func TestJoinBounds(t *testing.T) {
	j, err := join.New(join.Options{Label: events.TypeClick, BidWait: time.Minute, LabelWait: time.Second, MaxPending: 2}, join.Position{})
	if err != nil {
		t.Fatal(err)
	}
	joinAll(t, j, story(t, 1, "a bid 0, b bid 0, c bid 0"))
	if s := j.Stats(); s.Pending != 2 || s.Refused != 1 {
		t.Errorf("stats %+v", s)
	}
	if _, err := j.Add(&events.Message{At: stream.CursorAt(1)}, nil); err == nil {
		t.Error("a message a second time: no error")
	}
	if _, err := join.New(join.Options{Label: events.TypeWin}, join.Position{}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults, got %v", err)
	}
}

// The text of a position is stored in checkpoints and manifests: what an earlier build wrote must be read.
func TestPosition(t *testing.T) {
	p := join.Position{Low: stream.CursorAt(3), High: stream.CursorAt(9), Skip: 2, Watermark: 1_770_000_000_000}
	const stored = "3:9:2:1770000000000"
	if p.String() != stored {
		t.Errorf("%q, want %q", p, stored)
	}
	if got, err := join.ParsePosition(stored); err != nil || got != p || got.Start() != stream.CursorAt(3) {
		t.Errorf("%v, %v", got, err)
	}
	idle := join.Position{Low: stream.CursorAt(10), High: stream.CursorAt(9)}
	if got, err := join.ParsePosition("10:9:0:0"); err != nil || got != idle {
		t.Errorf("nothing to read again: %v, %v", got, err)
	}
	if got, err := join.ParsePosition(""); err != nil || got != (join.Position{}) || got.Start() != stream.CursorAt(1) {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"1", "1:2:3", "a:2:3:4", "5:3:0:0", "1:2:3:x", "-1:2:3:4", "1:b:3:4", "1:2:-3:4"} {
		if _, err := join.ParsePosition(s); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func BenchmarkJoin(b *testing.B) {
	bid := events.BidContext{}
	req := eventstest.Request()
	bid = *events.NewBid(req, eventstest.Bid(req), time.Now()).Bid
	const n = 100
	var messages []events.Message
	for s := range 200 {
		var batch []events.Event
		for i := range n {
			id := fmt.Sprintf("%020d", s*n+i)
			at := int64(s*50 + i/2)
			e := events.Event{ID: "bid:" + id, Type: events.TypeBid, Key: id, Time: at, Bid: &bid}
			if i%10 == 0 {
				e = events.Event{ID: "impression:" + id, Type: events.TypeImpression, Key: fmt.Sprintf("%020d", s*n+i+1-n), Time: at}
			}
			batch = append(batch, e)
		}
		m := events.Message{At: stream.CursorAt(uint64(s + 1))}
		var err error
		if m.Events, err = codec.Decode(codec.Encode(batch)); err != nil {
			b.Fatal(err)
		}
		messages = append(messages, m)
	}
	b.ReportAllocs()
	out := 0
	for b.Loop() {
		j, err := join.New(join.Options{Label: events.TypeClick, BidWait: 2 * time.Second, LabelWait: time.Second, Reorder: time.Second}, join.Position{})
		if err != nil {
			b.Fatal(err)
		}
		for i := range messages {
			ex, err := j.Add(&messages[i], nil)
			if err != nil {
				b.Fatal(err)
			}
			out += len(ex)
		}
	}
	if out == 0 {
		b.Fatal("no examples")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(messages)*n), "ns/event")
}
