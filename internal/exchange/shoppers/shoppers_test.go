package shoppers

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gavel/internal/exchange/notify"
	"gavel/internal/exchange/sales"
)

// ranker answers what a crowd sends, in this process: a click goes to the campaign that choose names.
type ranker struct {
	t      *testing.T
	choose func(n int) string
	crowd  *Crowd

	mu     sync.Mutex
	clicks []notify.Notice
	sales  map[string]bool // by token
}

func (r *ranker) send(n notify.Notice) {
	r.mu.Lock()
	reply := notify.Reply{Status: 204}
	u, err := url.Parse(n.URL)
	if err != nil {
		r.t.Error(err)
	}
	switch n.Kind {
	case notify.Visit:
		r.clicks = append(r.clicks, n)
		token := fmt.Sprint("token-", len(r.clicks))
		reply = notify.Reply{Status: 302, Location: "https://" + r.choose(len(r.clicks)) + pageHost + "/?click=" + token}
	case notify.Sale:
		r.sales[u.Query().Get("t")] = true
	default:
		r.t.Errorf("a call of kind %s", n.Kind)
	}
	r.mu.Unlock()
	n.Done(reply)
}

func start(t *testing.T, change func(*Options), choose func(n int) string) (*Crowd, *ranker, *bytes.Buffer) {
	t.Helper()
	o := Defaults()
	o.Ranker, o.CampaignFile, o.Seed, o.Start = "http://127.0.0.1:1", "campaigns.yaml", 1, time.Now()
	o.Campaigns, o.RateMin, o.RateMax, o.Every = 4, 0.05, 0.3, 0
	change(&o)
	world, err := sales.New(o.Options)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	c, err := New(o, world, func(_ string, data []byte) error { file.Reset(); file.Write(data); return nil })
	if err != nil {
		t.Fatal(err)
	}
	r := &ranker{t: t, choose: choose, crowd: c, sales: map[string]bool{}}
	c.Start(r.send)
	return c, r, &file
}

// Sales come as often as the truth says, and the books' expectation of them is right.
func TestSalesAreCalibrated(t *testing.T) {
	c, r, file := start(t, func(*Options) {}, func(n int) string { return fmt.Sprintf("campaign-%05d", n%4) })
	const n = 20_000
	for range n {
		c.Came("http://127.0.0.1:1/click?placement=top", "curl/8", "DEU", 60)
	}
	got := c.Report(true)
	if got.Clicks != n || got.FromAuctions != n || got.Astray != 0 || int64(len(r.sales)) != got.Sales {
		t.Errorf("the books have %d clicks, %d by ads, %d astray; %d of %d sales were reported", got.Clicks, got.FromAuctions, got.Astray, len(r.sales), got.Sales)
	}
	if off := math.Abs(float64(got.Sales) - got.Shown); off > 5*math.Sqrt(got.Shown) {
		t.Errorf("%d sales, %.0f expected", got.Sales, got.Shown)
	}
	if share := got.Lift(); math.Abs(share) > 0.05 || got.Best <= got.Shown { // each campaign was shown alike
		t.Errorf("the lift of chance is %.3f, of %+v", share, got.Totals)
	}
	if first := r.clicks[0]; !strings.HasPrefix(first.URL, "http://127.0.0.1:1/click?placement=top&country=DE&provider=") ||
		!strings.HasSuffix(first.URL, "&zone=%2B01%3A00&gdpr=0") || first.From.Agent != "curl/8" {
		t.Errorf("the first click is %+v", first)
	}
	if file.Len() > 0 {
		t.Error("the campaign file was written without Run")
	}
	var out bytes.Buffer
	if err := c.WriteCampaigns(&out); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) < 5 || len(rows[0]) != 6 {
		t.Errorf("the campaigns' books are %v (%v)", rows, err)
	}
}

func TestBestChoiceHasLiftOne(t *testing.T) {
	var c *Crowd
	c, _, _ = start(t, func(o *Options) { o.OwnStd = 0 }, func(int) string {
		best := c.world.At(time.Now()).Active[0]
		for _, x := range c.world.At(time.Now()).Active {
			if x.Rate > best.Rate {
				best = x
			}
		}
		return best.ID
	})
	for range 200 {
		c.Came("http://127.0.0.1:1/click", "curl/8", "USA", -300)
	}
	if got := c.Report(false); math.Abs(got.LiftShare-1) > 1e-9 {
		t.Errorf("the best choice has the lift %v", got.LiftShare)
	}
}

func TestStrayClicksAreErrors(t *testing.T) {
	c, _, _ := start(t, func(*Options) {}, func(int) string { return "elsewhere" })
	c.Came("http://127.0.0.1:1/click", "curl/8", "USA", -300)
	if got := c.Report(false); got.Astray != 1 || got.Clicks != 0 {
		t.Errorf("the books are %+v", got)
	}
}

// Run sends clicks at the rate, and writes the campaign file at once and when campaigns come and go.
func TestRun(t *testing.T) {
	c, _, file := start(t, func(o *Options) { o.Rate, o.Every, o.Replaced = 500, 100*time.Millisecond, 1 },
		func(int) string { return "campaign-00000" })
	var writes int
	enough, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	write := c.write
	c.write = func(path string, data []byte) error {
		if writes++; writes == 2 {
			defer stop()
		}
		return write(path, data)
	}
	if err := c.Run(enough, time.Now()); err != nil {
		t.Fatal(err)
	}
	if writes < 2 || strings.Count(file.String(), "- {id: campaign-") != 4 {
		t.Errorf("the file was written %d times; at last:\n%s", writes, file)
	}
	if got := c.Report(false); got.Clicks+got.Astray == 0 {
		t.Error("no click came")
	}
}

func TestRunEndsWhenTheFileCannotBeWritten(t *testing.T) {
	c, _, _ := start(t, func(o *Options) { o.Rate, o.Every = 0, 50*time.Millisecond }, func(int) string { return "campaign-00000" })
	refused := fmt.Errorf("no space")
	ok := c.write
	writes := 0
	c.write = func(path string, data []byte) error {
		if writes++; writes > 1 {
			return refused
		}
		return ok(path, data)
	}
	if err := c.Run(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("it ended with %v", err)
	}
}

func TestOptionsNameTheirFaults(t *testing.T) {
	o := Defaults()
	o.Ranker, o.Rate, o.Campaigns = "ranker:80", -1, 0
	if faults := o.Validate(); len(faults) != 5 {
		t.Errorf("%d faults, want 5: %v", len(faults), faults)
	}
	o = Defaults()
	if faults := o.Validate(); len(faults) != 0 {
		t.Errorf("the defaults have faults: %v", faults)
	}
}
