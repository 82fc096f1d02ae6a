package trainer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/join"
	"gavel/internal/recipe"
	"gavel/internal/stream"
	"gavel/internal/stream/memory"
)

// put appends one message.
func put(s *memory.Stream, batch ...events.Event) {
	state, err := s.State(context.Background())
	if err == nil {
		id := state.Last.Next().String()
		_, err = s.Publish(context.Background(), []stream.Message{{ID: id, Source: "b1", Data: codec.Encode(batch)}})
	}
	if err != nil {
		panic(err) // a stream in memory that is up takes everything
	}
}

// story appends n bids with their impressions and some clicks, in messages of random size, out of order within a few
// hundred milliseconds. Times begin at start and every impression's is unique. It ends with ticks that make all due.
func story(s *memory.Stream, rng *rand.Rand, start, n int) {
	type timed struct {
		at int64
		e  events.Event
	}
	base := int64(1_700_000_000_000)
	var all []timed
	for i := start; i < start+n; i++ {
		t := base + int64(i)*40
		id := fmt.Sprintf("b%06d", i)
		req := &auction.Request{ID: id, Received: time.UnixMilli(t), Impressions: []auction.Impression{{ID: "1"}},
			Device: auction.Device{OS: []string{"ios", "android", "windows"}[i%3]}}
		bid := &auction.Bid{ID: id, Price: auction.Micros(100 + i), Prediction: auction.Prediction{Click: 0.125, ClickVersion: 7},
			Candidate: auction.Candidate{Campaign: &auction.Campaign{ID: fmt.Sprint("c", i%5)}, Creative: &auction.Creative{ID: "x"}}}
		all = append(all, timed{t, events.NewBid(req, bid, time.UnixMilli(t))})
		if i%4 == 3 {
			continue // lost
		}
		shown := t + 1 + int64(i%7)*40
		notice := func(kind events.Type, at int64) {
			all = append(all, timed{at + rng.Int64N(300), events.Event{ID: events.EventID(kind, id), Type: kind, Key: id, Time: at}})
		}
		notice(events.TypeImpression, shown)
		if i%10 == 0 {
			notice(events.TypeImpression, shown) // sent twice
		}
		if i%6 == 0 {
			notice(events.TypeClick, shown+500)
		}
	}
	slices.SortStableFunc(all, func(a, b timed) int { return int(a.at - b.at) })
	for len(all) > 0 {
		k := min(len(all), 1+rng.IntN(60))
		batch := make([]events.Event, 0, k)
		for _, x := range all[:k] {
			batch = append(batch, x.e)
		}
		put(s, batch...)
		all = all[k:]
	}
	put(s, events.NewTick("b1", time.UnixMilli(base+int64(start+n)*40+60_000)))
}

// expected joins the whole stream at once.
func expected(t *testing.T, s *memory.Stream, r *recipe.Recipe) []join.Example {
	t.Helper()
	j, err := join.New(join.Options{Label: events.Type(r.Label), BidWait: r.Join.BidWait(), LabelWait: r.Join.LabelWait()}, join.Position{})
	if err != nil {
		t.Fatal(err)
	}
	var all []join.Example
	reader, err := s.Open(t.Context(), stream.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	for at := (stream.Cursor{}); at != reader.Last(); {
		e, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at = e.At
		m := codec.Read(e)
		if all, err = j.Add(&m, all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
