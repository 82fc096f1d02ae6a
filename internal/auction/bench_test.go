package auction

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/race"
)

// manyCampaigns returns n campaigns. The first matching fit plainRequest; the others target other countries, sizes,
// domains, hours or devices.
func manyCampaigns(n, matching int) []Campaign {
	rng := rand.New(rand.NewPCG(1, 1))
	campaigns := make([]Campaign, n)
	for i := range campaigns {
		campaigns[i] = plainCampaign(fmt.Sprintf("c%05d", i), func(c *Campaign) {
			c.Goal = Goal{one(rng, CPM, CPC), Micros(1000 + rng.IntN(100_000))}
			c.Categories = []string{fmt.Sprintf("IAB%d-%d", 1+rng.IntN(25), 1+rng.IntN(10))}
			c.Domain = fmt.Sprintf("shop%d.example", i%(n/3+1))
			t := &c.Targeting
			t.Countries = []string{"US", one(rng, "CA", "MX", "GB")}
			t.DeviceTypes = []int{2, one(rng, 1, 4, 5)}
			t.DenyDomains = []string{fmt.Sprintf("deny%d.example", i)}
			if i < matching {
				return
			}
			switch rng.IntN(5) {
			case 0:
				t.Countries = []string{one(rng, "DE", "FR", "GB", "BR")}
			case 1:
				t.AllowDomains = []string{fmt.Sprintf("site%d.example", i)}
			case 2:
				c.Creatives[0].Size = one(rng, Size{728, 90}, Size{320, 50}, Size{160, 600})
			case 3:
				t.HoursOfWeek = []int{100 + rng.IntN(68)}
			case 4:
				t.DeviceTypes = []int{one(rng, 1, 4, 5)}
			}
		})
	}
	return campaigns
}

func benchRequest() *Request {
	return plainRequest(func(r *Request) {
		r.BlockedCategories = []string{"IAB26", "IAB25-3", "IAB24", "IAB7-39"}
		r.BlockedDomains = []string{"bad.example", "worse.example", "shop1.example"}
	})
}

func benchSet(b testing.TB, n int) *CampaignSet {
	return mustSet(b, manyCampaigns(n, 12), SetOptions{LocalHour: func(*Request) (int, bool) { return 12, true }})
}

func BenchmarkCandidates(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("campaigns=%d", n), func(b *testing.B) {
			set, req := benchSet(b, n), benchRequest()
			dst := make([]Candidate, 0, 32)
			matches := 0
			b.ReportAllocs()
			for b.Loop() {
				got, _ := set.Candidates(req, dst)
				matches = len(got)
			}
			b.ReportMetric(float64(matches), "candidates")
		})
	}
}

// compareSizes asks sets of 1,000 and 10,000 campaigns in turn for the same matches. It returns the larger set's time
// over the smaller's, each the fastest of many short tries, because the machine may be busy.
func compareSizes(b testing.TB, tries int) (ratio float64) {
	small, large, req := benchSet(b, 1_000), benchSet(b, 10_000), benchRequest()
	dst := make([]Candidate, 0, 32)
	few, _ := small.Candidates(req, dst)
	matches := len(few)
	if many, _ := large.Candidates(req, dst); len(many) != matches || matches == 0 {
		b.Fatalf("%d and %d matches; the comparison needs as many", matches, len(many))
	}
	best := [2]time.Duration{time.Hour, time.Hour}
	for range tries {
		for i, set := range []*CampaignSet{small, large} {
			begin := time.Now()
			for range 20 {
				set.Candidates(req, dst)
			}
			best[i] = min(best[i], time.Since(begin))
		}
	}
	return float64(best[1]) / float64(best[0])
}

// BenchmarkCandidatesRatio reports the ratio of compareSizes. A scan would have a ratio of 10.
func BenchmarkCandidatesRatio(b *testing.B) {
	ratio := 0.0
	for b.Loop() {
		ratio = compareSizes(b, 100)
	}
	b.ReportMetric(ratio, "ratio")
}

// TestTenTimesTheCampaigns bounds the ratio of compareSizes.
func TestTenTimesTheCampaigns(t *testing.T) {
	ratio := compareSizes(t, 200)
	t.Logf("ten times the campaigns cost %.2f times as much", ratio)
	if ratio > 4 {
		t.Errorf("ten times the campaigns cost %.2f times as much", ratio)
	}
}

// TestNoAllocations: the hot path allocates nothing.
func TestNoAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes sync.Pool drop items at random")
	}
	set, req := benchSet(t, 1_000), benchRequest()
	dst := make([]Candidate, 0, 32)
	if n := testing.AllocsPerRun(200, func() { set.Candidates(req, dst) }); n != 0 {
		t.Errorf("Candidates: %v allocations", n)
	}
	nobody := plainRequest(func(r *Request) { r.Device.Geo.Country = "ZZ" })
	if n := testing.AllocsPerRun(200, func() { set.Candidates(nobody, dst) }); n != 0 {
		t.Errorf("Candidates without a match: %v allocations", n)
	}
	a, bids := benchAuctioneer(t, set), make([]Bid, 0, 4)
	if n := testing.AllocsPerRun(200, func() { bids = a.Run(context.Background(), req, bids).Bids }); n > 1 {
		t.Errorf("Run: %v allocations, want the bid's id alone", n)
	}
}

func benchAuctioneer(b testing.TB, set *CampaignSet) *Auctioneer {
	l, err := NewLedger(LedgerOptions{Rand: func() float64 { return 0 }, MaxOpen: 1 << 12, Expiry: time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	now := noon
	var plans []Plan
	for _, c := range set.All() {
		plans = append(plans, Plan{Campaign: c.ID, Daily: maxDaily})
	}
	l.SetPlans(plans, now.Add(-time.Minute))
	for _, c := range set.All() {
		l.Grant(c.ID, DayOf(now), maxDaily)
	}
	var clock atomic.Int64
	a, err := NewAuctioneer(AuctioneerOptions{
		Scorer: flat(0.5), Budget: l,
		Now: func() time.Time { return now.Add(time.Duration(clock.Add(int64(time.Millisecond)))) },
	})
	if err != nil {
		b.Fatal(err)
	}
	a.SetCampaigns(set)
	return a
}

func BenchmarkRun(b *testing.B) {
	for _, n := range []int{24, 1_000, 10_000} {
		b.Run(fmt.Sprintf("campaigns=%d", n), func(b *testing.B) {
			a, req := benchAuctioneer(b, benchSet(b, n)), benchRequest()
			req.Deadline = time.Time{}
			var bids []Bid
			b.ReportAllocs()
			for b.Loop() {
				bids = a.Run(context.Background(), req, bids).Bids
			}
			if len(bids) != 1 {
				b.Fatalf("%d bids", len(bids))
			}
		})
	}
}

func BenchmarkAdmitReserveRelease(b *testing.B) {
	l := newTestLedger(b, maxDaily, LedgerOptions{})
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = NewID()
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := ids[next.Add(1)%int64(len(ids))]
			if l.Admit("c", noon) == NoBidBudget {
				b.Error("no budget")
			}
			l.Reserve("c", id, 1, noon)
			l.Release(id)
		}
	})
}

// BenchmarkReserveAmongMany reserves while half a million ids are held; for each new id one expires.
func BenchmarkReserveAmongMany(b *testing.B) {
	const held = 500_000
	l := newTestLedger(b, maxDaily, LedgerOptions{Expiry: held * time.Microsecond})
	ids := make([]string, 2*held)
	for i := range ids {
		ids[i] = NewID()
	}
	reserve := func(i int) { l.Reserve("c", ids[i%len(ids)], 1, noon.Add(time.Duration(i)*time.Microsecond)) }
	for i := range held {
		reserve(i)
	}
	b.ReportAllocs()
	i := held
	for b.Loop() {
		reserve(i)
		i++
	}
	if s := l.Stats(); s.Refused > 0 {
		b.Errorf("%d were refused", s.Refused)
	}
}

func BenchmarkNewCampaignSet(b *testing.B) {
	campaigns := manyCampaigns(10_000, 12)
	b.ReportAllocs()
	for b.Loop() {
		mustSet(b, campaigns, SetOptions{})
	}
}
