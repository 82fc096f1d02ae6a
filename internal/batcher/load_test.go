package batcher

import (
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gavel/internal/host"
)

// day is a process that has claims run on a machine of two processors, time after time of the same length.
type day struct {
	*load
	now, used int64   // ns
	idle, all float64 // ticks of 10 ms
}

func newDay() *day {
	d := &day{now: 1}
	d.load = &load{cpus: 2, cpu: func() int64 { return d.used }, machine: func() (float64, float64, bool) { return d.idle, d.all, true }}
	d.sample(d.now)
	return d
}

// spell is a time in which everything stays as it is.
type spell struct {
	seconds     int
	claims      int     // a second
	nice        int     // … by nice pools
	cost, saved int     // CPU that a request uses, and that joining saves of a claim that is not nice, µs
	others      float64 // the share of both processors that others keep busy
}

func (d *day) pass(s spell) { d.passSamples(s.seconds*10, s) }

func (d *day) passSamples(n int, s spell) {
	for range n {
		used := int64(max(s.claims, s.nice)) * int64(s.cost) * 100 // of a tenth of a second
		d.now, d.used, d.all = d.now+100e6, d.used+used, d.all+20
		d.idle += max(20*(1-s.others-float64(used)/200e6), 0)
		d.claims.Add(uint64(s.claims / 10))
		d.nice.Add(uint64(s.nice / 10))
		d.saved.Add(int64(s.claims) * int64(s.saved) * 100)
		d.sample(d.now)
	}
}

func (d *day) want(t *testing.T, when string, low, high float64) {
	t.Helper()
	if got := d.share(); !(got >= low-1e-9 && got <= high+1e-9) {
		t.Errorf("%s: ρ is %.3f, want %.3f to %.3f", when, got, low, high)
	}
}

func TestLoadOfClaims(t *testing.T) {
	d := newDay()
	d.want(t, "at first", 0, 0)
	d.pass(spell{seconds: 10, claims: 4000, cost: 200, saved: 100, others: 0.1})
	d.want(t, "as if nothing were joined", 0.69, 0.70)
	d.pass(spell{seconds: 10, claims: 2000, cost: 350, saved: 20, others: 0.1})
	d.want(t, "half of the claims, each dearer for there is time", 0.39, 0.41)
	d.pass(spell{seconds: 10, claims: 4000, cost: 300, others: 0.1})
	d.want(t, "all of them again, none joined", 0.69, 0.71)
	d.pass(spell{seconds: 10, claims: 4000, cost: 150, saved: 50, others: 0.1})
	d.want(t, "cheaper ones", 0.49, 0.52)
	d.pass(spell{seconds: 10, others: 0.6})
	d.want(t, "others alone", 0.59, 0.61)
}

// A request that asks a nice pool's model too is one request; where only such models are asked, theirs count.
func TestLoadOfNiceClaims(t *testing.T) {
	d := newDay()
	without := spell{seconds: 10, claims: 4000, cost: 200, others: 0.1}
	d.pass(without)
	both := without
	both.seconds, both.nice = 1, 4000
	d.pass(both)
	d.want(t, "all ask both since a second ago", 0.49, 0.51)
	d.pass(without)
	d.want(t, "none asks the nice one", 0.49, 0.51)
	d.pass(spell{seconds: 10, nice: 4000, cost: 200, others: 0.1})
	d.want(t, "all ask the nice one alone", 0.49, 0.51)
}

// Batches of nice claims end in lumps; there are no more of them for it.
func TestLoadOfLumps(t *testing.T) {
	d := newDay()
	lump := spell{seconds: 1, claims: 4000, cost: 200, others: 0.1}
	d.pass(lump)
	for range 50 {
		d.nice.Add(800) // in the next of two samples
		d.passSamples(2, lump)
	}
	d.want(t, "all ask both", 0.49, 0.52)
}

// A higher cost is believed where processors are busy, and else only if it lasts.
func TestLoadOfDearerClaims(t *testing.T) {
	d := newDay()
	d.pass(spell{seconds: 10, claims: 1000, cost: 200})
	d.want(t, "cheap ones", 0.09, 0.11)
	d.pass(spell{seconds: 20, claims: 1000, cost: 600})
	d.want(t, "dear ones of 20 s", 0.10, 0.12)
	d.pass(spell{seconds: 1800, claims: 1000, cost: 600})
	d.want(t, "of half an hour", 0.28, 0.30)

	d = newDay()
	d.pass(spell{seconds: 10, claims: 1000, cost: 200})
	d.pass(spell{seconds: 20, claims: 3000, cost: 600})
	d.want(t, "on busy processors", 0.88, 0.91)
	d = newDay()
	d.pass(spell{seconds: 10, claims: 1000, cost: 200})
	d.pass(spell{seconds: 20, claims: 1000, cost: 600, others: 0.6})
	d.want(t, "on processors that others keep busy", 0.88, 0.91)
}

func TestLoadOfFewClaims(t *testing.T) {
	d := newDay()
	d.pass(spell{seconds: 1, claims: 50, cost: 200})
	d.want(t, "before there were enough to tell c from", 0.003, 0.006)
	if d.cost() != 0 {
		t.Errorf("50 claims taught it a cost of %.0f ns", d.cost())
	}
	d.pass(spell{seconds: 9, claims: 40, cost: 200})
	if d.cost() != 0 {
		t.Errorf("40 claims a second taught it a cost of %.0f ns", d.cost())
	}
	d.pass(spell{seconds: 9, claims: 80, cost: 200})
	if got := d.cost(); math.Abs(got-200e3) > 1 {
		t.Errorf("80 claims a second taught it a cost of %.0f ns, want 200e3", got)
	}
	d.pass(spell{seconds: 10, claims: 1000, cost: 200})
	d.now, d.used, d.all, d.idle = d.now+60e9, d.used+60e9, d.all+12000, d.idle+6000
	d.sample(d.now)
	d.want(t, "a minute without a claim", 0, 0)
	d.pass(spell{seconds: 10, claims: 1000, cost: 200})
	d.want(t, "after it", 0.09, 0.11)
}

// What a process takes by itself is not what its requests cost, though others keep the processors busy meanwhile.
func TestLoadOfPauses(t *testing.T) {
	for _, pause := range []spell{
		{seconds: 15, claims: 20, cost: 2000, others: 0.9},
		{seconds: 15, claims: 200, cost: 400, others: 0.9},
	} {
		d := newDay()
		d.pass(spell{seconds: 10, claims: 4000, cost: 200, others: 0.1})
		d.pass(pause)
		if got := d.cost(); got > 210e3 {
			t.Errorf("after %d claims a second beside others c is %.0f ns, want 200e3 as before", pause.claims, got)
		}
		d.now, d.used, d.all = d.now+15e9, d.used+1e9, d.all+3000 // nothing comes, nothing is sampled, all processors are busy
		if d.pass(spell{seconds: 1, claims: 2000, cost: 300, others: 0.1}); d.cost() > 210e3 {
			t.Errorf("after a silence c is %.0f ns, want 200e3 as before", d.cost())
		}
	}
}

// While it is not known what joining saves, c is not learnt from joined claims.
func TestLoadUnsure(t *testing.T) {
	d := newDay()
	d.pass(spell{seconds: 10, claims: 4000, cost: 200, saved: 100})
	was := d.cost()
	for range 20 {
		d.unsure.Store(true)
		d.pass(spell{seconds: 1, claims: 4000, cost: 200, saved: 10})
	}
	if got := d.cost(); got < 0.99*was {
		t.Errorf("c fell from %.0f to %.0f ns while nobody knew what joining saved", was, got)
	}
	l := &load{}
	if l.ran(2, 0, false); !l.unsure.Load() {
		t.Error("two claims joined, nobody knows what that saved, and c may be learnt from it")
	}
}

// A reading that fails is made up for by the next.
func TestLoadUnreadable(t *testing.T) {
	d := newDay()
	d.pass(spell{seconds: 10, claims: 1000, cost: 200, others: 0.1})
	ok := true
	d.machine = func() (float64, float64, bool) { return d.idle, d.all, ok }
	d.idle, d.all = d.idle+1e6, d.all+2e6 // half busy since boot
	d.last.idle, d.last.all = d.idle, d.all
	ok = false
	d.pass(spell{seconds: 1, claims: 1000, cost: 200, others: 0.1})
	ok = true
	d.pass(spell{seconds: 5, claims: 1000, cost: 200, others: 0.1})
	d.want(t, "after a second unreadable", 0.19, 0.21)
}

func TestLoadUnknown(t *testing.T) {
	d := newDay()
	d.machine = nil
	d.pass(spell{seconds: 10, claims: 4000, cost: 200, saved: 100, others: 0.1})
	d.want(t, "where others are not known", 0.59, 0.61)
	(&load{}).ran(1, 1, true) // nor the process
}

func TestLoadSampledTooSoon(t *testing.T) {
	d := newDay()
	d.pass(spell{seconds: 10, claims: 4000, cost: 200})
	was := d.share()
	d.used += 1e9
	d.sample(d.now + loadSample - 1)
	if got := d.share(); math.Abs(got-was) > 0 {
		t.Errorf("ρ went from %v to %v within one sample", was, got)
	}
}

// A pool's load counts what joining claims saves of the runners' time.
func TestLoadCountsWhatIsSaved(t *testing.T) {
	cost := func(n int) time.Duration { return 100*time.Microsecond + time.Duration(n)*time.Microsecond }
	o := QueueOptions{Policy: Window, MaxWait: 4 * time.Millisecond, CalibrationRuns: 2}
	inBubble(t, 1, &fakeEngine{cost: cost}, o, func(x *bench) {
		var all sync.WaitGroup
		x.offer(4000, 200*time.Microsecond, &all)
		got := x.p.Stats().Load // 5,000 claims a second of 101 µs, were they run alone
		all.Wait()
		synctest.Wait() // callers are told before the batch is booked
		if got < 0.4 || got > 0.6 {
			t.Errorf("load %.2f, want 0.5; the runner is busy for 0.03", got)
		}
		if got := x.p.load.claims.Load(); got != 4000 {
			t.Errorf("%d claims booked, want 4000", got)
		}
		if got := float64(x.p.load.saved.Load()) / 4000; got < 80e3 || got > 100e3 {
			t.Errorf("%.0f ns saved a claim, want some 95e3", got)
		}
	})
}

// Nice work is not in it: neither what it uses, nor what joining saves of it.
func TestLoadIsNotOfNiceWork(t *testing.T) {
	cost := func(n int) time.Duration { return 100*time.Microsecond + time.Duration(n)*time.Microsecond }
	o := QueueOptions{Policy: Window, MaxWait: 4 * time.Millisecond, CalibrationRuns: 2}
	inBubble(t, 1, &fakeEngine{cost: cost}, o, func(x *bench) {
		x.p.o.Nice = 1
		var all sync.WaitGroup
		x.offer(400, 200*time.Microsecond, &all)
		all.Wait()
		synctest.Wait()
		l := x.p.load
		if claims, nice, saved := l.claims.Load(), l.nice.Load(), l.saved.Load(); claims != 0 || nice != 400 || saved != 0 {
			t.Errorf("%d claims and %d nice ones booked, %d ns saved; want 400 nice ones", claims, nice, saved)
		}
	})
	const spent = 50 * time.Millisecond
	was, done := processCPU(), make(chan error)
	host.GoNice(1, func(err error) {
		for start := host.NiceCPU(); err == nil && host.NiceCPU()-start < spent; {
		}
		done <- err
	})
	if err := <-done; err != nil {
		t.Skip(err)
	}
	if used := time.Duration(processCPU() - was); used > spent/2 || used < -spent/2 {
		t.Errorf("%v of a nice thread's %v are counted as the process's", used, spent)
	}
}

// A pool's load is that of the processors, though its runners do next to nothing.
func TestLoadIsOfTheMachine(t *testing.T) {
	inBubble(t, 1, &fakeEngine{}, QueueOptions{Policy: Eager}, func(x *bench) {
		all := 0.0
		x.p.load = &load{
			cpus: 1, epoch: time.Now(),
			cpu:     func() int64 { return 0 },
			machine: func() (float64, float64, bool) { all += 20; return 0, all, true },
		}
		for id := range 20 {
			x.wait(x.claim(id, 1, time.Time{}, 0), id)
			time.Sleep(loadSample)
		}
		if got := x.p.Stats().Load; got < 0.9 {
			t.Errorf("load %v, want that of the machine, near 1", got)
		}
	})
}
