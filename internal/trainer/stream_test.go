package trainer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/recipe"
)

// memoryStream is a stream in memory that messages are appended to.
type memoryStream struct {
	mu       sync.Mutex
	messages []events.Message
	grown    chan struct{}
}

func newMemoryStream(messages ...events.Message) *memoryStream {
	return &memoryStream{messages: messages, grown: make(chan struct{})}
}

func (s *memoryStream) append(batch ...events.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, events.Message{Seq: uint64(len(s.messages) + 1), Events: batch})
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *memoryStream) bounds(context.Context) (uint64, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1, uint64(len(s.messages)), nil
}

func (s *memoryStream) open(_ context.Context, from uint64) (events.Reader, error) {
	_, last, _ := s.bounds(nil)
	if from > last+1 {
		return nil, fmt.Errorf("at %d: %w", from, events.ErrAhead)
	}
	return &memoryReader{s: s, next: from, last: last}, nil
}

type memoryReader struct {
	s          *memoryStream
	next, last uint64
}

func (r *memoryReader) Last() uint64 { return r.last }
func (r *memoryReader) Close() error { return nil }
func (r *memoryReader) Next(ctx context.Context) (events.Message, error) {
	for {
		r.s.mu.Lock()
		grown := r.s.grown
		if n := r.next; n <= uint64(len(r.s.messages)) {
			m := r.s.messages[n-1]
			r.s.mu.Unlock()
			// As from a wire: the body of a bid is decoded again from what was encoded.
			decoded, err := events.DecodeMessage(events.EncodeMessage(m.Events))
			m.Events, m.Time = decoded, time.Now()
			r.next++
			return m, err
		}
		r.s.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return events.Message{}, ctx.Err()
		}
	}
}

// story appends n bids with their impressions and some clicks, in messages of random size, out of order within a few
// hundred milliseconds. Times begin at start and every impression's is unique. It ends with ticks that make all due.
func story(s *memoryStream, rng *rand.Rand, start, n int) {
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
			notice(events.TypeImpression, shown) // told twice
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
		s.append(batch...)
		all = all[k:]
	}
	s.append(events.NewTick("b1", time.UnixMilli(base+int64(start+n)*40+60_000)))
}

// expected joins the whole stream at once.
func expected(t *testing.T, s *memoryStream, r *recipe.Recipe) []events.Example {
	t.Helper()
	j, err := events.NewJoiner(events.JoinOptions{Label: events.Type(r.Label), BidWait: r.Join.BidWait(), LabelWait: r.Join.LabelWait()}, events.Position{})
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Example
	reader, err := s.open(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for range len(s.messages) {
		m, err := reader.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all, err = j.Add(&m, all); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
