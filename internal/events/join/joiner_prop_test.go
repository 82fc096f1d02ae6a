package join_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/join"
	"gavel/internal/stream"
)

// drawStream draws a stream of bids, anchors and positive events, with duplicates near and far (some told again with a
// later time, as pixels are), events out of order, orphans, gaps, and several events a message.
func drawStream(t *rapid.T, o join.Options, disorder bool) []events.Message {
	type at struct {
		e    events.Event
		when float64 // order of arrival, ms
	}
	var all []at
	bids := rapid.IntRange(1, 40).Draw(t, "bids")
	clock := int64(0)
	wait := func(d time.Duration, label string) int64 { // mostly within d, sometimes beyond
		return rapid.Int64Range(0, d.Milliseconds()*5/4).Draw(t, label)
	}
	late := func() float64 {
		if !disorder {
			return 0
		}
		d := float64(rapid.Int64Range(0, o.Reorder.Milliseconds()).Draw(t, "late"))
		if rapid.IntRange(0, 30).Draw(t, "very late") == 0 {
			d *= 20
		}
		return d
	}
	for i := range bids {
		clock += rapid.Int64Range(0, 400).Draw(t, "gap")
		if rapid.IntRange(0, 25).Draw(t, "long gap") == 0 {
			clock += 20_000
		}
		id := fmt.Sprintf("b%02d", i)
		add := func(typ events.Type, at_ int64) {
			e := events.Event{ID: events.EventID(typ, id), Type: typ, Key: id, Time: at_, Version: events.Schema}
			if typ == events.TypeBid {
				e.Bid = &events.BidContext{}
				e.Bid.Request.ID = id
			}
			all = append(all, at{e, float64(at_) + late()})
			for disorder && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
				d := e
				delay := rapid.Int64Range(0, 8000).Draw(t, "delay")
				if typ != events.TypeBid && rapid.Bool().Draw(t, "new time") {
					d.Time += delay
				}
				all = append(all, at{d, float64(at_+delay) + late()})
			}
		}
		if rapid.IntRange(0, 12).Draw(t, "orphan") > 0 {
			add(events.TypeBid, clock)
		}
		if rapid.IntRange(0, 3).Draw(t, "shown") > 0 {
			shown := clock + wait(o.BidWait, "shown after")
			add(events.TypeImpression, shown)
			if rapid.IntRange(0, 2).Draw(t, "clicked") == 0 {
				add(events.TypeClick, shown+wait(o.LabelWait, "clicked after"))
			}
		}
		if rapid.IntRange(0, 8).Draw(t, "tick") == 0 {
			all = append(all, at{events.Event{Type: events.TypeTick, Time: clock}, float64(clock)})
		}
	}
	end := clock + 60_000
	all = append(all, at{events.Event{Type: events.TypeTick, Time: end}, float64(end)})
	slices.SortStableFunc(all, func(a, b at) int {
		switch {
		case a.when < b.when:
			return -1
		case a.when > b.when:
			return 1
		}
		return 0
	})
	var out []events.Message
	seq := uint64(0)
	for len(all) > 0 {
		n := min(rapid.IntRange(1, 5).Draw(t, "events"), len(all))
		seq += 1 + uint64(rapid.IntRange(0, 10).Draw(t, "lost")/10)
		m := events.Message{At: stream.CursorAt(seq)}
		for _, a := range all[:n] {
			m.Events = append(m.Events, a.e)
		}
		decoded, err := codec.Decode(codec.Encode(m.Events))
		if err != nil {
			t.Fatal(err)
		}
		m.Events = decoded
		out, all = append(out, m), all[n:]
	}
	return out
}

var propOptions = join.Options{Label: events.TypeClick, BidWait: 3 * time.Second, LabelWait: 2 * time.Second, Reorder: 500 * time.Millisecond}

// run joins messages from pos on; it returns the examples, and the position after each message.
func run(t *rapid.T, pos join.Position, messages []events.Message) ([]join.Example, []join.Position) {
	j, err := join.New(propOptions, pos)
	if err != nil {
		t.Fatal(err)
	}
	var out []join.Example
	var positions []join.Position
	for i := range messages {
		if messages[i].At.Compare(pos.Start()) < 0 {
			continue
		}
		if out, err = j.Add(&messages[i], out); err != nil {
			t.Fatal(err)
		}
		positions = append(positions, j.Position())
	}
	return out, positions
}

func same(a, b []join.Example) bool {
	return slices.EqualFunc(a, b, func(a, b join.Example) bool {
		return a.ID == b.ID && a.Label == b.Label && a.Time == b.Time && a.Bid.Request.ID == b.Bid.Request.ID
	})
}

// Whatever was learnt up to a position, and what comes after resuming from it, is the uninterrupted run: for the
// position after every message, for that of every example, and again from positions of a resumed run.
func TestJoinResume(t *testing.T) {
	examples := 0
	rapid.Check(t, func(t *rapid.T) {
		messages := drawStream(t, propOptions, true)
		whole, positions := run(t, join.Position{}, messages)
		examples += len(whole)
		check := func(name string, learnt []join.Example, pos join.Position) ([]join.Example, []join.Position) {
			rest, later := run(t, pos, messages)
			if got := append(slices.Clone(learnt), rest...); !same(got, whole) {
				t.Fatalf("%s %v:\n got %s + %s\nwant %s", name, pos, show(learnt), show(rest), show(whole))
			}
			return rest, later
		}
		for _, pos := range positions {
			n := 0
			for n < len(whole) && !after(whole[n].Pos, pos) {
				n++
			}
			check("after message", whole[:n], pos)
		}
		for i := range whole {
			rest, _ := check("after example", whole[:i+1], whole[i].Pos)
			for k := range rest { // killed again
				check("after example of a resumed run", whole[:i+1+k+1], rest[k].Pos)
			}
		}
	})
	if examples == 0 {
		t.Error("no stream gave an example")
	}
}

// after orders positions of one run.
func after(a, b join.Position) bool {
	return a.High.Compare(b.High) > 0 || a.High == b.High && a.Skip > b.Skip
}

// Events out of order by no more than Reorder, and duplicates, give the same examples as the stream in order.
func TestJoinOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := drawStream(t, propOptions, false)
		want, _ := run(t, join.Position{}, messages)
		var shuffled []events.Message
		type at struct {
			e    events.Event
			when int64
		}
		var all []at
		for _, m := range messages {
			for _, e := range m.Events {
				all = append(all, at{e, e.Time + rapid.Int64Range(0, propOptions.Reorder.Milliseconds()).Draw(t, "late")})
				if rapid.IntRange(0, 3).Draw(t, "twice") == 0 {
					all = append(all, at{e, e.Time + rapid.Int64Range(0, propOptions.Reorder.Milliseconds()).Draw(t, "late")})
				}
			}
		}
		slices.SortStableFunc(all, func(a, b at) int { return int(a.when - b.when) })
		for i, a := range all {
			shuffled = append(shuffled, events.Message{At: stream.CursorAt(uint64(i + 1)), Events: []events.Event{a.e}})
		}
		got, _ := run(t, join.Position{}, shuffled)
		key := func(ex []join.Example) map[string]float32 {
			m := make(map[string]float32)
			for _, e := range ex {
				m[e.ID] = e.Label
			}
			return m
		}
		if len(got) != len(want) || !reflect.DeepEqual(key(got), key(want)) {
			t.Fatalf("got  %s\nwant %s", show(got), show(want))
		}
	})
}
