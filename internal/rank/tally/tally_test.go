package tally

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/stream"
	"gavel/internal/stream/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const day = 24 * time.Hour

// noon is on a day, UTC.
var noon = time.Date(2026, 10, 11, 12, 0, 0, 0, time.UTC)

func click(id, campaign string, at time.Time, probability float64) events.Event {
	return events.Event{
		ID: events.EventID(events.TypeRanking, id), Type: events.TypeRanking, Key: id, Time: at.UnixMilli(), Campaign: campaign,
		Ranking: &events.Ranking{Policy: "best", Propensity: 1, Probability: probability},
	}
}

func sale(click, id, campaign string, at time.Time) events.Event {
	return events.Event{ID: events.EventID(events.TypeSale, click) + id, Type: events.TypeSale, Key: click, Time: at.UnixMilli(), Campaign: campaign, Price: 2_500_000}
}

// world is a stream, whose clock and a tally's is now.
type world struct {
	*testing.T
	now    atomic.Pointer[time.Time]
	stream *memory.Stream
	sent   int
	file   string
	log    strings.Builder
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, file: filepath.Join(t.TempDir(), "counts.json")}
	w.stream = memory.New(w.clock)
	w.at(noon)
	return w
}

func (w *world) clock() time.Time { return *w.now.Load() }

func (w *world) at(now time.Time) { w.now.Store(&now) }

// send stores a message with events.
func (w *world) send(all ...events.Event) {
	w.Helper()
	w.sent++
	if _, err := w.stream.Publish(w.Context(), []stream.Message{{ID: fmt.Sprint(w.sent), Source: "test", Data: codec.Encode(all)}}); err != nil {
		w.Fatal(err)
	}
}

// count runs a tally until it has read the whole stream, and returns it.
func (w *world) count() *Tally {
	w.Helper()
	t, err := New(Options{Stream: w.stream, File: w.file, Now: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	if err != nil {
		w.Fatal(err)
	}
	state, err := w.stream.State(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	ctx, stop := context.WithCancel(w.Context())
	ended := make(chan error, 1)
	go func() { ended <- t.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); t.at() != state.Last.Next(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("it has read up to %v of %v", t.at(), state.Last)
		}
	}
	stop()
	if err := <-ended; err != nil {
		w.Fatal(err)
	}
	return t
}

func (t *Tally) at() stream.Cursor {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.position
}

func (w *world) is(t *Tally, last int, want map[string]Counts) {
	w.Helper()
	if got := t.Snapshot(last).Campaigns; !reflect.DeepEqual(got, want) {
		w.Errorf("the last %d days are\n%+v\nwant\n%+v", last, got, want)
	}
}

func TestCounts(t *testing.T) {
	w := newWorld(t)
	w.send(click("a", "shoes", noon.Add(-day), 0.25), sale("a", "", "shoes", noon))
	w.send(click("b", "shoes", noon, 0.5), click("c", "shoes", noon, 0), sale("a", "2", "shoes", noon), click("d", "hats", noon, 0.125))
	w.send(click("b", "shoes", noon, 0.5), sale("a", "2", "shoes", noon), events.NewTick("test", noon)) // repeated
	tally := w.count()
	w.is(tally, 3, map[string]Counts{
		"shoes": {Clicks: 3, Scored: 2, Predicted: 0.75, Sold: 1, Sales: 2, Value: 5},
		"hats":  {Clicks: 1, Scored: 1, Predicted: 0.125},
	})
	w.is(tally, 1, map[string]Counts{
		"shoes": {Clicks: 2, Scored: 1, Predicted: 0.5, Sold: 1, Sales: 2, Value: 5},
		"hats":  {Clicks: 1, Scored: 1, Predicted: 0.125},
	})
	if s := tally.Snapshot(3); !s.From.Equal(noon.Add(-2*day-12*time.Hour)) || !s.Last.Equal(noon) {
		t.Errorf("from %v, last %v", s.From, s.Last)
	}

	w.at(noon.Add(2 * day)) // yesterday's clicks go, and with them nothing of today
	w.send(click("e", "hats", noon.Add(2*day), 0.5))
	tally = w.count()
	w.is(tally, 3, map[string]Counts{
		"shoes": {Clicks: 2, Scored: 1, Predicted: 0.5, Sold: 1, Sales: 2, Value: 5},
		"hats":  {Clicks: 2, Scored: 2, Predicted: 0.625},
	})
	w.at(noon.Add(9 * day))
	w.is(tally, 3, map[string]Counts{})
}

// A tally that is stopped after any message counts as one that reads everything at once; it does not read again what it has.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	want := map[string]Counts{}
	for i := range 60 {
		id := fmt.Sprint("click", i)
		w.send(click(id, "shoes", noon, 0.25), sale(id, "", "shoes", noon))
		want["shoes"] = Counts{Clicks: uint64(i + 1), Scored: uint64(i + 1), Predicted: 0.25 * float64(i+1), Sold: uint64(i + 1), Sales: uint64(i + 1), Value: 2.5 * float64(i+1)}
		if i%7 == 0 {
			w.is(w.count(), 1, want)
			w.stream.Trim(stream.CursorAt(uint64(w.sent))) // what was read is not there any more
		}
	}
	w.is(w.count(), 1, want)
}

// Without its file, or with a damaged one, a tally reads the stream anew; a stream that is another one, too.
func TestMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.send(click("a", "shoes", noon, 0.5))
	want := map[string]Counts{"shoes": {Clicks: 1, Scored: 1, Predicted: 0.5}}
	w.is(w.count(), 1, want)
	for _, text := range []string{"", "{", "null", `{"layout": 1, "position": "x"}`, `{"layout": 2, "position": "1"}`, `{"layout": 1, "position": "1", "campaigns": {"a": null}}`} {
		if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.log.Reset()
		w.is(w.count(), 1, want)
		if !strings.Contains(w.log.String(), "made anew") {
			t.Errorf("%q is not reported: %s", text, w.log.String())
		}
	}
	w.send(click("b", "shoes", noon, 0))
	w.is(w.count(), 1, map[string]Counts{"shoes": {Clicks: 2, Scored: 1, Predicted: 0.5}})
	w.stream = memory.New(w.clock)
	w.log.Reset()
	w.send(click("c", "hats", noon, 0.5))
	w.is(w.count(), 1, map[string]Counts{"hats": {Clicks: 1, Scored: 1, Predicted: 0.5}})
	if !strings.Contains(w.log.String(), "ends before the page's counts") {
		t.Errorf("another stream is not reported: %s", w.log.String())
	}
}

// If the file cannot be written, counting goes on.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	w.file = filepath.Join(t.TempDir(), "absent", "counts.json")
	w.send(click("a", "shoes", noon, 0.5))
	w.is(w.count(), 1, map[string]Counts{"shoes": {Clicks: 1, Scored: 1, Predicted: 0.5}})
	if !strings.Contains(w.log.String(), "cannot be kept") {
		t.Errorf("not reported: %s", w.log.String())
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRecent()
	for i := range 3 * maxRecent {
		if r.is(fmt.Sprint(i)) {
			t.Fatalf("%d came before", i)
		}
	}
	if n := len(r.now) + len(r.old); n > 2*maxRecent {
		t.Errorf("%d ids are kept", n)
	}
	if !r.is(fmt.Sprint(3*maxRecent - 1)) {
		t.Error("the last one is forgotten")
	}
}
