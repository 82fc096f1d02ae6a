package report

import (
	"encoding/csv"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLateAndLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := NewBooks(start)
		add := func(a Answer, sentMs, answeredMs int) {
			at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
			b.Answered(a, 0, Timing{Due: start, Sent: at(sentMs), Answered: at(answeredMs), TMax: 100 * time.Millisecond})
		}
		add(NoBid, 0, 10)
		add(NoBid, 0, 100)  // exactly tmax: in time
		add(NoBid, 30, 110) // late from due, in time from send
		add(Bids, 0, 101)
		add(Timeout, 0, 90)
		add(Reject, 0, 1)
		add(Failed, 0, 1)
		r := b.Final(2 * time.Second)
		if r.Late != 3 || r.LateFromSend != 2 || r.Timeouts != 1 || r.Answered != 4 || r.NoBids != 3 || r.Rejected != 1 || r.Errors != 1 {
			t.Errorf("%+v", r)
		}
		if r.Auctions != 7 || r.RateAchieved != 3.5 || math.Abs(r.Latency.Max-110) > 0.2 || math.Abs(r.FromSend.Max-101) > 0.2 || math.Abs(r.SendLag.Max-30) > 0.1 {
			t.Errorf("auctions %d, rate %v, latency %+v, from send %+v, lag %+v", r.Auctions, r.RateAchieved, r.Latency, r.FromSend, r.SendLag)
		}
	})
}

func TestStatusForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBooks(time.Now())
		answer := func(d time.Duration) {
			now := time.Now()
			b.Answered(NoBid, 0, Timing{Due: now.Add(-d), Sent: now.Add(-d), Answered: now, TMax: time.Second})
		}
		for range 20 { // 2 s at 10/s, slow
			answer(50 * time.Millisecond)
			time.Sleep(100 * time.Millisecond)
		}
		if s := b.Status(); s.Rate != 10 || math.Abs(s.P99-50) > 1 {
			t.Errorf("after 2 s: rate %v, p99 %v; want 10, 50", s.Rate, s.P99)
		}
		time.Sleep(time.Hour)
		for range 20 {
			answer(time.Millisecond)
			time.Sleep(100 * time.Millisecond)
		}
		if s := b.Status(); s.Rate != 4 || s.P99 > 1.1 || s.Auctions != 40 {
			t.Errorf("after an hour and 20 more in 2 of the last 5 s: %+v", s)
		}
	})
}

func TestBooksByCampaign(t *testing.T) {
	b := NewBooks(time.Now())
	b.Bid("a", true)
	b.Bid("b", false)
	b.Won("a")
	b.Billed("a", 1234, 0.25)
	b.Billed("a", 1, 0.5)
	b.Clicked("a")
	b.Converted("a")
	b.Lost("102")
	r := b.Final(0)
	want := Campaign{Bids: 1, Wins: 1, Billed: 2, Clicks: 1, Conversions: 1, SpendMicros: 1235}
	if *r.ByCampaign["a"] != want || r.SpendMicros != 1235 || r.TeacherClickSum != 0.75 || r.Invalid != 1 || r.LossReasons["102"] != 1 {
		t.Errorf("%+v, campaign a %+v", r, r.ByCampaign["a"])
	}
}

func TestOutcomes(t *testing.T) {
	var out strings.Builder
	o := NewOutcomes(&out)
	o.Add(Outcome{BidID: `b,"1"`, ImpID: "1", Time: time.UnixMilli(5), Campaign: "c", TeacherClick: 0.0625, Clicked: true,
		TeacherConversion: math.NaN(), Price: 77})
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`b,"1"`, "1", "5", "c", "0.0625", "1", "", "0", "77"}
	if len(rows) != 2 || strings.Join(rows[0], ",") != OutcomesHeader || strings.Join(rows[1], "|") != strings.Join(want, "|") {
		t.Errorf("rows %q", rows)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestOutcomesReportsADiskFault(t *testing.T) {
	o := NewOutcomes(full{})
	o.Add(Outcome{})
	if err := o.Flush(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v", err)
	}
}
