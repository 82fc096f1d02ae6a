package auction

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// day simulates one campaign. At every step it may bid price; a share of the bids win and are billed delay later, the
// others are lost, with or without a notice. It returns what was spent by the end of each hour.
type day struct {
	daily      Micros
	start, end time.Duration // of the campaign, from midnight; 0: no bound
	from       time.Duration // when the bidder starts
	perSecond  func(at time.Duration) float64
	winRate    float64
	delay      time.Duration
	silent     bool // no notices of losses
	second     float64
}

func (d day) run(t *testing.T) (hourly [25]Micros) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 8))
	l, err := NewLedger(LedgerOptions{Rand: rng.Float64})
	if err != nil {
		t.Fatal(err)
	}
	midnight := DayOf(noon).Start()
	plan := Plan{Campaign: "c", Daily: d.daily}
	if d.start != 0 {
		plan.Start = midnight.Add(d.start)
	}
	if d.end != 0 {
		plan.End = midnight.Add(d.end)
	}
	l.SetPlans([]Plan{plan}, midnight.Add(d.from))
	l.Grant("c", DayOf(noon), d.daily)
	type win struct {
		id string
		at time.Duration
	}
	var due []win
	const step, price = time.Second, 2500
	paid := Micros(price)
	if d.second != 0 {
		paid = Micros(price * d.second)
	}
	n := 0
	for at := d.from; at < 24*time.Hour; at += step {
		now := midnight.Add(at)
		for len(due) > 0 && due[0].at <= at {
			l.Book("c", due[0].id, paid, now)
			due = due[1:]
		}
		offers := d.perSecond(at) * step.Seconds()
		for offers > rng.Float64() {
			offers--
			if l.Admit("c", now) != NoBidNone {
				continue
			}
			n++
			id := fmt.Sprint(n)
			if !l.Reserve("c", id, price, now) {
				continue
			}
			if rng.Float64() < d.winRate {
				due = append(due, win{id, at + d.delay})
			} else if !d.silent {
				l.Release(id)
			}
		}
		hourly[int((at+step-1)/time.Hour)+1] = l.Spent("c", DayOf(noon))
	}
	for i := 1; i < len(hourly); i++ {
		hourly[i] = max(hourly[i], hourly[i-1])
	}
	return hourly
}

// TestEvenPacing: over each hour in which it may run, a campaign with more traffic than money spends its even share.
func TestEvenPacing(t *testing.T) {
	many := func(time.Duration) float64 { return 4 }
	f := func(name string, d day, firstHour, lastHour int, tolerance float64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hourly := d.run(t)
			share := float64(d.daily) / float64(lastHour-firstHour)
			for h := range 24 {
				got, want := float64(hourly[h+1]-hourly[h]), 0.0
				if h >= firstHour && h < lastHour {
					want = share
				}
				if math.Abs(got-want) > tolerance*share {
					t.Errorf("hour %d: spent %.0f, want %.0f within %.0f %%", h, got, want, tolerance*100)
				}
			}
			if total := hourly[24]; total > d.daily || float64(total) < 0.99*float64(d.daily) {
				t.Errorf("spent %d of %d", total, d.daily)
			}
		})
	}
	const usd = 1_000_000
	f("a whole day", day{daily: 100 * usd, perSecond: many, winRate: 1}, 0, 24, 0.05)
	f("few wins, told of", day{daily: 100 * usd, perSecond: many, winRate: 0.2, delay: time.Second}, 0, 24, 0.05)
	f("billed a minute late", day{daily: 100 * usd, perSecond: many, winRate: 0.5, delay: time.Minute}, 0, 24, 0.05)
	f("billed at half the bid", day{daily: 100 * usd, perSecond: many, winRate: 0.5, delay: 10 * time.Second, second: 0.5}, 0, 24, 0.05)
	f("losses are not told", day{daily: 100 * usd, perSecond: many, winRate: 0.5, delay: time.Second, silent: true}, 0, 24, 0.1)
	f("started at 18:00", day{daily: 100 * usd, from: 18 * time.Hour, perSecond: many, winRate: 1}, 18, 24, 0.05)
	f("scheduled from 6 to 12", day{daily: 50 * usd, start: 6 * time.Hour, end: 12 * time.Hour, perSecond: many, winRate: 1}, 6, 12, 0.05)
	f("a small budget", day{daily: usd / 2, perSecond: many, winRate: 1}, 0, 24, 0.2)
}

// TestPacingSpreadsWhatIsLeft: money that early hours could not spend for lack of traffic is spread over the others.
func TestPacingSpreadsWhatIsLeft(t *testing.T) {
	d := day{daily: 100_000_000, winRate: 1, perSecond: func(at time.Duration) float64 {
		if at < 12*time.Hour {
			return 0.1
		}
		return 4
	}}
	hourly := d.run(t)
	morning := hourly[12]
	share := float64(d.daily-morning) / 12
	for h := 12; h < 24; h++ {
		if got := float64(hourly[h+1] - hourly[h]); math.Abs(got-share) > 0.05*share {
			t.Errorf("hour %d: spent %.0f, want %.0f", h, got, share)
		}
	}
	if morning < 9_000_000 {
		t.Errorf("only %d was spent in the morning, of about 10.8 million that traffic allowed", morning)
	}
}

// TestNoBurst: under any demand, the first seconds after a start spend no more than an even share, except for the bids
// of one instant.
func TestNoBurst(t *testing.T) {
	f := func(from, pause time.Duration) {
		t.Helper()
		rng := rand.New(rand.NewPCG(1, 1))
		l, err := NewLedger(LedgerOptions{Rand: rng.Float64})
		if err != nil {
			t.Fatal(err)
		}
		const daily, price = 2_000_000_000, 2_000
		begin := DayOf(noon).Start().Add(from)
		l.SetPlans([]Plan{{Campaign: "c", Daily: daily}}, begin.Add(-pause))
		l.Grant("c", DayOf(noon), daily)
		rate := daily / (24*time.Hour - from).Seconds()
		saved := min(pause.Seconds(), 10)*rate + roomBids*price*min(pause.Seconds(), 1)
		for ms := range 30_000 {
			now := begin.Add(time.Duration(ms) * time.Millisecond)
			if id := fmt.Sprint(ms); l.Admit("c", now) == NoBidNone && l.Reserve("c", id, price, now) {
				l.Book("c", id, price, now)
			}
			most := rate*float64(ms)/1000*1.001 + saved + 3*price
			if got := float64(l.Spent("c", DayOf(noon))); got > most {
				t.Fatalf("from %s after a pause of %s: spent %.0f after %d ms, at most %.0f is even", from, pause, got, ms, most)
			}
		}
	}
	f(0, 0)
	f(18*time.Hour, 0)
	f(18*time.Hour, time.Hour)
	f(23*time.Hour+50*time.Minute, 0)
}

func TestAdmitReasons(t *testing.T) {
	f := func(name string, want NoBidReason, at time.Time, edit func(l *Ledger)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			l := newTestLedger(t, 1000, LedgerOptions{Rand: func() float64 { return 0.999 }})
			edit(l)
			if got := l.Admit("c", at); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	f("no credit yet", NoBidPacing, noon, func(*Ledger) {})
	f("credit is full", NoBidNone, noon.Add(10*time.Second), func(*Ledger) {})
	f("nothing left", NoBidBudget, noon.Add(10*time.Second), func(l *Ledger) { l.Book("c", "a", 1000, noon) })
	f("nothing granted today", NoBidBudget, noon.Add(24*time.Hour), func(*Ledger) {})
	f("not yet begun", NoBidPacing, noon.Add(10*time.Second), func(l *Ledger) {
		l.SetPlans([]Plan{{Campaign: "c", Daily: 1000, Start: noon.Add(time.Hour)}}, noon)
	})
	asap := func(start time.Time) func(*Ledger) {
		return func(l *Ledger) {
			l.SetPlans([]Plan{{Campaign: "c", Daily: 1000, Start: start, Pacing: PaceASAP}}, noon)
		}
	}
	f("asap needs no credit", NoBidNone, noon, asap(time.Time{}))
	f("asap, not yet begun", NoBidPacing, noon, asap(noon.Add(time.Hour)))
	f("no plan", NoBidBudget, noon.Add(10*time.Second), func(l *Ledger) { l.SetPlans(nil, noon) })
}
