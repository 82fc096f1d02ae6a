package consumer

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gavel/internal/datasets"
	"gavel/internal/events"
	"gavel/internal/stream"
)

const (
	testWindow  = 100 * time.Millisecond
	testReorder = 10 * time.Millisecond
)

func ranking(id string, t int64) events.Event {
	return events.Event{
		ID: events.EventID(events.TypeRanking, id), Type: events.TypeRanking, Key: id, Time: t, Campaign: "shoes",
		Ranking: &events.Ranking{Policy: "greedy", Propensity: 0.25, Fields: []string{"browser", "country"}, Values: []string{"firefox", "DE"}},
	}
}

func soldAt(click, id string, t int64) events.Event {
	return events.Event{ID: events.EventID(events.TypeSale, click) + id, Type: events.TypeSale, Key: click, Time: t, Campaign: "shoes", Price: 2_500_000}
}

func tick(t int64) events.Event { return events.NewTick("test", time.UnixMilli(t)) }

// joined joins messages of one event each.
func joined(all ...events.Event) ([]datasets.Row, *Joiner) {
	j := NewJoiner(testWindow, testReorder, 10, []string{"country", "provider"}, Position{})
	var out []datasets.Row
	for i, e := range all {
		m := events.Message{At: stream.CursorAt(uint64(i + 1)), Time: time.UnixMilli(e.Time), Events: []events.Event{e}}
		out = j.Add(&m, out)
	}
	return out, j
}

func TestJoin(t *testing.T) {
	f := func(name string, want []datasets.Row, all ...events.Event) {
		t.Helper()
		got, _ := joined(all...)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
	row := func(id string, at int64, value float64) datasets.Row {
		return datasets.Row{ID: id, Time: at, Campaign: "shoes", Values: []string{"DE", ""}, Label: value > 0, Weight: 4, Value: value}
	}
	f("a click waits for its window to end", nil, ranking("a", 5), tick(5+109))
	f("then it is an example", []datasets.Row{row("a", 5, 0)}, ranking("a", 5), tick(5+110))
	f("a sale within the window is its label", []datasets.Row{row("a", 5, 2.5)}, ranking("a", 5), soldAt("a", "", 105), tick(200))
	f("a sale after the window is none", []datasets.Row{row("a", 5, 0)}, ranking("a", 5), soldAt("a", "", 106), tick(200))
	f("two sales add their values", []datasets.Row{row("a", 5, 5)}, ranking("a", 5), soldAt("a", "1", 9), soldAt("a", "2", 9), tick(200))
	f("repeated events change nothing", []datasets.Row{row("a", 5, 2.5)}, ranking("a", 5), soldAt("a", "1", 9), soldAt("a", "1", 9), ranking("a", 5), tick(200), ranking("a", 5), tick(400))
	f("a sale may come first", []datasets.Row{row("a", 5, 2.5)}, soldAt("a", "", 7), ranking("a", 5), tick(200))
	f("a sale without a ranking is none", nil, soldAt("a", "", 7), tick(200))
	f("a sale that is delivered late counts while its click waits", []datasets.Row{row("a", 100, 2.5)}, ranking("a", 100), tick(190), soldAt("a", "", 110), tick(300))
	f("a click that is due when it comes is late", nil, tick(500), ranking("a", 390), tick(900))
	f("examples come in the order of time", []datasets.Row{row("b", 4, 0), row("a", 5, 0), row("c", 5, 0)}, ranking("c", 5), ranking("a", 5), ranking("b", 4), tick(200))
	later := ranking("a", 5)
	later.Version = events.Schema + 1
	f("a later schema makes none", nil, later, tick(200))
}

func TestBounds(t *testing.T) {
	var all []events.Event
	for i := range 12 {
		all = append(all, ranking(fmt.Sprint(i), 5))
	}
	got, j := joined(append(all, tick(200))...)
	if s := j.Stats(); len(got) != 10 || s.Refused != 2 || s.Pending != 0 {
		t.Errorf("%d examples, %+v; want 10 and 2 refused", len(got), s)
	}
	m := events.Message{At: stream.CursorAt(20), Time: time.UnixMilli(1000), Events: []events.Event{tick(1000 + 6*60*1000)}}
	j.Add(&m, nil)
	if j.Watermark() != 1000 || j.Stats().Ahead != 1 {
		t.Errorf("a wrong clock moved the watermark to %d", j.Watermark())
	}
}

// A joiner that starts at another's position returns what that one returned from then on.
func TestPosition(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(2, seed))
		messages := randomStream(random)
		fields := []string{"country"}
		whole := NewJoiner(testWindow, testReorder, 1000, fields, Position{})
		stop := random.IntN(len(messages))
		var want []datasets.Row
		var at Position
		var until int64
		for i := range messages {
			want = whole.Add(&messages[i], want)
			if i == stop {
				at, until = whole.Position(), whole.Until()
			}
		}
		if !slices.IsSortedFunc(want, func(a, b datasets.Row) int { return cmp.Compare(a.Time, b.Time) }) {
			t.Fatalf("seed %d: examples are out of order", seed)
		}
		want = slices.DeleteFunc(want, func(r datasets.Row) bool { return r.Time < until })
		again, err := ParsePosition(at.String())
		if err != nil {
			t.Fatal(err)
		}
		late := NewJoiner(testWindow, testReorder, 1000, fields, again)
		var got []datasets.Row
		for i := range messages {
			if messages[i].At.Compare(again.Cursor) >= 0 {
				got = late.Add(&messages[i], got)
			}
		}
		got = slices.DeleteFunc(got, func(r datasets.Row) bool { return r.Time < until })
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d, from %s:\ngot  %+v\nwant %+v", seed, again, got, want)
		}
	}
}

// randomStream has clicks and sales, some out of order, some twice, some late.
func randomStream(random *rand.Rand) []events.Message {
	var all []events.Event
	for i := range 60 {
		id := fmt.Sprint(i)
		at := random.Int64N(1000)
		all = append(all, ranking(id, at))
		for range random.IntN(3) {
			all = append(all, soldAt(id, fmt.Sprint(random.IntN(2)), at+random.Int64N(130)))
		}
		if random.IntN(5) == 0 {
			all = append(all, ranking(id, at))
		}
	}
	disorder := make(map[int]int64, len(all))
	order := make([]int, len(all))
	for i, e := range all {
		order[i], disorder[i] = i, e.Time+random.Int64N(30)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(disorder[a], disorder[b]) })
	var messages []events.Message
	for len(order) > 0 {
		n := min(1+random.IntN(4), len(order))
		m := events.Message{At: stream.CursorAt(uint64(len(messages) + 1)), Time: time.UnixMilli(disorder[order[n-1]])}
		for _, i := range order[:n] {
			m.Events = append(m.Events, all[i])
		}
		messages, order = append(messages, m), order[n:]
	}
	return messages
}

func TestParsePosition(t *testing.T) {
	for _, bad := range []string{"x", "1", ":", "1:x", "-1:3"} {
		if p, err := ParsePosition(bad); err == nil || !strings.Contains(err.Error(), "cursor:watermark") {
			t.Errorf("%q gave %+v, %v", bad, p, err)
		}
	}
}
