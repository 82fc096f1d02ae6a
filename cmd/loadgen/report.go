package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// result is the last line of stdout. Counts are of requests that were due in the measured time. Latencies are in ms, at
// most a minute: from when a request was due (open loop) or sent (closed loop) to the last byte of its answer. In
// Latency, a request that failed or was never answered counts as answered at the end of the drain, so that losses do
// not improve a percentile. ByStatus has only answers.
type result struct {
	Label       string             `json:"label,omitempty"`
	Rate        float64            `json:"rate"` // requests a second; 0: closed loop
	Connections int                `json:"connections"`
	Seconds     float64            `json:"seconds"`
	Sent        uint64             `json:"sent"`
	Answered    uint64             `json:"answered"`
	PerSecond   float64            `json:"answered_per_second"`
	Good        uint64             `json:"good"`       // 200 within the deadline
	Late        uint64             `json:"late"`       // answered after the deadline, or not at all
	LateBids    uint64             `json:"late_bids"`  // of the late ones, those answered with 200
	Failed      uint64             `json:"failed"`     // the connection broke
	Unanswered  uint64             `json:"unanswered"` // no answer at the end of the drain
	Reconnects  uint64             `json:"reconnects"`
	Status      map[string]uint64  `json:"status"`
	Latency     latency            `json:"latency_ms"`
	ByStatus    map[string]latency `json:"latency_ms_by_status"`
	SendLag     latency            `json:"send_lag_ms"` // from when a request was due until it was sent
	CPUSeconds  float64            `json:"generator_cpu_seconds"`

	Distribution *distribution `json:"distribution,omitempty"`
}

// distribution is a histogram of latencies for each tmax of the requests.
type distribution struct {
	StepMS float64   `json:"step_ms"`
	ByTMax []*spread `json:"by_tmax"`
}

// spread is the histogram for one tmax. Requests in Sent that are not in Answers were never answered.
type spread struct {
	TMax    int64            `json:"tmax"`    // ms; 0: the request had none
	Sent    uint64           `json:"sent"`    // were due, including those that never found a free connection
	Answers map[int][]uint64 `json:"answers"` // by status: Answers[s][i] took i to i+1 steps
}

// of returns the spread of a tmax and makes it if there is none. There are few.
func (d *distribution) of(tmax int64) *spread {
	for _, s := range d.ByTMax {
		if s.TMax == tmax {
			return s
		}
	}
	s := &spread{TMax: tmax, Answers: map[int][]uint64{}}
	d.ByTMax = append(d.ByTMax, s)
	return s
}

// maxSteps bounds a spread. Slower answers count in its last step.
const maxSteps = 1 << 14

func (s *spread) add(status int, step int64) {
	step = min(step, maxSteps-1)
	counts := s.Answers[status]
	for int64(len(counts)) <= step {
		counts = append(counts, 0)
	}
	counts[step]++
	s.Answers[status] = counts
}

type latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

const longest = time.Minute // the upper bound of the histograms

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), 3) }

// record adds a latency in ns. More than longest counts as longest.
func record(h *hdrhistogram.Histogram, took int64) {
	_ = h.RecordValue(min(max(took, 0), int64(longest))) // a value in range never fails
}

func latencyOf(h *hdrhistogram.Histogram) latency {
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e6 }
	return latency{Mean: h.Mean() / 1e6, P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / 1e6}
}

// tally counts events. It leaves the warm-up out, except in the series.
type tally struct {
	f        flags
	from     int64 // when the measured time begins
	giveUp   int64 // when the drain ends
	result   result
	all, lag *hdrhistogram.Histogram
	byStatus map[int]*hdrhistogram.Histogram
	cpu      time.Duration
	series   *series
	slice    slice
	until    int64 // the end of the slice

	reconnects uint64
}

func newTally(f flags, s *series) *tally {
	t := &tally{f: f, from: int64(f.Warmup), giveUp: int64(f.Warmup + f.Duration + f.Drain), all: newHistogram(), lag: newHistogram(), series: s,
		byStatus: map[int]*hdrhistogram.Histogram{}, slice: slice{histogram: hdrhistogram.New(1000, int64(longest), 2)}, until: int64(f.Interval)}
	if f.Distribution > 0 {
		t.result.Distribution = &distribution{StepMS: float64(f.Distribution) / 1e6}
	}
	return t
}

func (t *tally) begin() { t.cpu = cpuTime() }

// scheduled counts a request that is due, even if no connection is free.
func (t *tally) scheduled(due, tmax int64) {
	if due < t.from {
		return
	}
	t.result.Sent++
	if d := t.result.Distribution; d != nil {
		d.of(tmax).Sent++
	}
}

// noticed records how late this process noticed that a request is due, which does not depend on free connections.
func (t *tally) noticed(due, now int64) { t.slice.HeldUp = max(t.slice.HeldUp, float64(now-due)/1e6) }

func (t *tally) sent(due, now int64) {
	if due >= t.from {
		record(t.lag, now-due)
	}
}

func (t *tally) answered(due, now int64, status int, tmax int64) {
	t.slice.answered(now-due, status, int64(t.f.Deadline))
	if due < t.from {
		return
	}
	took := now - due
	t.result.Answered++
	record(t.all, took)
	h := t.byStatus[status]
	if h == nil {
		h = newHistogram()
		t.byStatus[status] = h
	}
	record(h, took)
	if d := t.result.Distribution; d != nil {
		d.of(tmax).add(status, took/int64(t.f.Distribution))
	}
	switch {
	case took > int64(t.f.Deadline):
		t.result.Late++
		if status == 200 {
			t.result.LateBids++
		}
	case status == 200:
		t.result.Good++
	}
}

func (t *tally) failed(due int64) {
	t.slice.Failed++
	if due >= t.from {
		t.result.Failed++
		t.result.Late++
		record(t.all, t.giveUp-due)
	}
}

func (t *tally) unanswered(due int64) {
	if due >= t.from {
		t.result.Unanswered++
		t.result.Late++
		record(t.all, t.giveUp-due)
	}
}

// advance closes the slices that have ended.
func (t *tally) advance(now int64) {
	for t.series != nil && now >= t.until {
		t.series.write(&t.slice, float64(t.until-int64(t.f.Interval)-t.from)/1e9)
		t.until += int64(t.f.Interval)
	}
}

func (t *tally) end(now int64) {
	t.advance(now)
	r := &t.result
	r.CPUSeconds = (cpuTime() - t.cpu).Seconds()
	r.Label, r.Rate, r.Connections, r.Seconds = t.f.Label, t.f.Rate, t.f.Connections, t.f.Duration.Seconds()
	r.PerSecond = float64(r.Answered) / r.Seconds
	r.Latency, r.SendLag, r.Reconnects = latencyOf(t.all), latencyOf(t.lag), t.reconnects
	r.Status, r.ByStatus = map[string]uint64{}, map[string]latency{}
	for status, h := range t.byStatus {
		r.Status[strconv.Itoa(status)] = uint64(h.TotalCount())
		r.ByStatus[strconv.Itoa(status)] = latencyOf(h)
	}
}

func (g *generator) result() result { return g.tally.result }

// cpuTime returns the CPU time of this process.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// slice is one interval of the series. The series includes the warm-up (at < 0).
type slice struct {
	At       float64 `json:"at"` // seconds from the begin of the measured time
	Answered uint64  `json:"answered"`
	Good     uint64  `json:"good"`
	Late     uint64  `json:"late"`
	Failed   uint64  `json:"failed"`
	Latency  latency `json:"latency_ms"` // of answers only
	// HeldUp is the longest time, in open loop, until this process noticed that a request was due. The process had no
	// processor in that time.
	HeldUp float64 `json:"held_up_ms"`
	// Counts are pairs [ms, answers]: a histogram with two digits, from which slices are merged.
	Counts [][2]float64 `json:"counts"`

	histogram *hdrhistogram.Histogram
}

func (s *slice) answered(took int64, status int, deadline int64) {
	s.Answered++
	switch {
	case took > deadline:
		s.Late++
	case status == 200:
		s.Good++
	}
	record(s.histogram, took)
}

// series is the file of slices; nil if there is none.
type series struct {
	file    *os.File
	encoder *json.Encoder
	err     error
}

func openSeries(path string) (*series, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write --series: %w", err)
	}
	return &series{file: file, encoder: json.NewEncoder(file)}, nil
}

// write writes a slice and resets it for the next.
func (s *series) write(l *slice, at float64) {
	l.At, l.Latency = at, latencyOf(l.histogram)
	for _, bar := range l.histogram.Distribution() {
		if bar.Count > 0 {
			l.Counts = append(l.Counts, [2]float64{float64(bar.To) / 1e6, float64(bar.Count)})
		}
	}
	if err := s.encoder.Encode(l); err != nil && s.err == nil {
		s.err = err
	}
	l.histogram.Reset()
	*l = slice{histogram: l.histogram, Counts: l.Counts[:0]}
}

func (s *series) close() error {
	if s == nil {
		return nil
	}
	if err := s.file.Close(); s.err == nil {
		s.err = err
	}
	return s.err
}
