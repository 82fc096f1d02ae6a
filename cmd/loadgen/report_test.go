package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The distribution counts measured answers by the tmax of their request, their status and their latency.
func TestDistribution(t *testing.T) {
	bodies := filepath.Join(t.TempDir(), "bodies.jsonl")
	if err := os.WriteFile(bodies, []byte(`{"tmax":50}`+"\n"+`{"tmax":100.0}`+"\n"+`{"id":"tmax"}`+"\nnot JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := flags{URL: "http://127.0.0.1:1/", Bodies: bodies, Rate: 1, Connections: 1, Duration: time.Second, Warmup: time.Second,
		Deadline: time.Second, Interval: time.Second, Marker: "@@@@@@@@@@@@@@@@", Distribution: 500 * time.Microsecond}
	requests, err := loadRequests(f)
	if err != nil {
		t.Fatal(err)
	}
	var tmax []int64
	for _, r := range requests {
		tmax = append(tmax, r.tmax)
	}
	if have, want := jsonOf(t, tmax), "[50,100,0,0]"; have != want {
		t.Errorf("tmax of the bodies: %s, want %s", have, want)
	}

	tally := newTally(f, nil)
	answer := func(due, took time.Duration, status int, tmax int64) {
		tally.scheduled(int64(due), tmax)
		tally.sent(int64(due), int64(due))
		tally.answered(int64(due), int64(due+took), status, tmax)
	}
	answer(time.Second/2, time.Millisecond, 200, 50) // of the warm-up
	answer(time.Second, 0, 200, 50)
	answer(time.Second, 1400*time.Microsecond, 200, 50)
	answer(time.Second, 1499*time.Microsecond, 204, 50)
	answer(time.Second, time.Hour, 200, 100)
	tally.scheduled(int64(time.Second), 100) // never sent, let alone answered
	d := tally.result.Distribution
	last := d.ByTMax[1].Answers[200]
	if len(last) != maxSteps || last[maxSteps-1] != 1 {
		t.Errorf("an answer after an hour is not in the last of %d steps: %d steps", maxSteps, len(last))
	}
	d.ByTMax[1].Answers = nil
	want := `{"step_ms":0.5,"by_tmax":[{"tmax":50,"sent":3,"answers":{"200":[1,0,1],"204":[0,0,1]}},{"tmax":100,"sent":2,"answers":null}]}`
	if have := jsonOf(t, d); have != want {
		t.Errorf("got  %s\nwant %s", have, want)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A slice has the longest delay of this process, independently of the answers.
func TestHeldUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "series")
	series, err := openSeries(path)
	if err != nil {
		t.Fatal(err)
	}
	tally := newTally(flags{Deadline: time.Second, Interval: time.Second}, series)
	for _, d := range []time.Duration{time.Millisecond, 70 * time.Millisecond, 0} {
		tally.noticed(0, int64(d))
	}
	tally.advance(int64(time.Second))
	tally.noticed(int64(time.Second), int64(time.Second+time.Millisecond))
	tally.advance(int64(2 * time.Second))
	if err := series.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var held []float64
	for line := range strings.Lines(string(text)) {
		var s slice
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		held = append(held, s.HeldUp)
	}
	if !slices.Equal(held, []float64{70, 1}) {
		t.Errorf("held up for %v ms, want 70 and 1", held)
	}
}

// A latency above the histogram's bound counts as the bound.
func TestLongest(t *testing.T) {
	tally := newTally(flags{Deadline: time.Second, Drain: time.Hour, Interval: time.Second}, nil)
	tally.scheduled(0, 0)
	tally.answered(0, int64(time.Hour), 200, 0)
	tally.scheduled(0, 0)
	tally.unanswered(0)
	tally.sent(0, int64(time.Hour))
	tally.end(int64(time.Hour))
	r := tally.result
	for name, l := range map[string]latency{"latency": r.Latency, "of 200": r.ByStatus["200"], "send lag": r.SendLag, "slice": latencyOf(tally.slice.histogram)} {
		if l.P50 < 59_000 || l.P50 > 61_000 {
			t.Errorf("%s: %+v, want a minute", name, l)
		}
	}
	if total := tally.all.TotalCount(); total != 2 || r.Late != 2 {
		t.Errorf("%d latencies, %d late, want 2", total, r.Late)
	}
}
