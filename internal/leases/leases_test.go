package leases

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/auction"
	"gavel/internal/stream"
	"gavel/internal/stream/memory"
	"gavel/internal/stream/nats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startNATS(t *testing.T, dir string, port int) *nats.Embedded {
	t.Helper()
	s, err := nats.StartEmbedded(nats.EmbedOptions{Dir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, s *nats.Embedded) *nats.Stream {
	t.Helper()
	c, err := nats.Connect(nats.Options{URL: s.URL(), TokenFile: s.TokenFile()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bidder is a manager with a real ledger.
type bidder struct {
	t      *testing.T
	m      *Manager
	ledger *auction.Ledger
	clock  *clock
	next   int
	name   string
}

const daily = auction.Micros(1_000_000)

func newBidder(t *testing.T, buckets stream.Buckets, c *clock, name string, spentOf func(context.Context, string, auction.Day) (map[string]auction.Micros, error)) *bidder {
	t.Helper()
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ledger.SetPlans([]auction.Plan{{Campaign: "c", Daily: daily}}, c.Now())
	m, err := New(Options{
		Buckets: buckets, Bidder: name, Ledger: ledger, Now: c.Now, Every: time.Second, TTL: time.Minute, Grace: time.Hour,
		SpentOf: spentOf, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.SetBudgets([]Budget{{"c", daily}})
	return &bidder{t: t, m: m, ledger: ledger, clock: c, name: name}
}

func (b *bidder) renew() {
	b.t.Helper()
	if err := b.m.Renew(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bidder) left() auction.Micros  { return b.ledger.Left("c", b.clock.Now()) }
func (b *bidder) spent() auction.Micros { return b.ledger.Spent("c", auction.DayOf(b.clock.Now())) }

// spend buys at a price, and says whether the money was there.
func (b *bidder) spend(price auction.Micros) bool {
	b.next++
	id := fmt.Sprintf("%s-%d", b.name, b.next)
	if !b.ledger.Reserve("c", id, price, b.clock.Now()) {
		return false
	}
	_, counted := b.ledger.Book("c", id, price, b.clock.Now())
	return counted
}

// granted is the sum of all leases by the bucket.
func granted(t *testing.T, buckets stream.Buckets, c *clock) auction.Micros {
	t.Helper()
	bucket, err := buckets.Bucket(t.Context(), stream.BucketOptions{Name: "GAVEL_BUDGETS", TTL: keep, MaxBytes: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	value, _, err := bucket.Get(t.Context(), entryKey(holding{"c", auction.DayOf(c.Now())}))
	if err != nil {
		t.Fatal(err)
	}
	e, err := decodeEntry(value)
	if err != nil {
		t.Fatal(err)
	}
	return e.granted()
}

func newClock() *clock { return &clock{now: time.Unix(1_770_000_000, 0)} } // 02:40 UTC

// Several bidders race for one budget, each spending all it gets: together they spend it whole, and no micro more.
func TestRace(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		buckets := memory.New(nil)
		testRace(t, func() stream.Buckets { return buckets })
	})
	t.Run("nats", func(t *testing.T) {
		s := startNATS(t, t.TempDir(), 0)
		testRace(t, func() stream.Buckets { return connect(t, s) })
	})
}

func testRace(t *testing.T, connect func() stream.Buckets) {
	c := newClock()
	var bidders []*bidder
	for i := range 4 {
		bidders = append(bidders, newBidder(t, connect(), c, fmt.Sprintf("b%d", i), nil))
	}
	for range 60 {
		var wg sync.WaitGroup
		for i, b := range bidders {
			wg.Go(func() {
				if err := b.m.Renew(t.Context()); err != nil {
					t.Error(err)
				}
				r := rand.New(rand.NewPCG(uint64(i), 7))
				for b.spend(auction.Micros(1 + r.Int64N(500))) {
				}
			})
		}
		wg.Wait()
		if g := granted(t, bidders[0].m.o.Buckets, c); g > daily {
			t.Fatalf("granted %d of %d", g, daily)
		}
		c.add(time.Second)
	}
	var sum auction.Micros
	for _, b := range bidders {
		sum += b.spent()
	}
	if sum > daily || sum < daily-4*500 {
		t.Errorf("spent %d of %d", sum, daily)
	}
}

// Leases follow the rate of spending, and idle money goes back.
func TestSizes(t *testing.T) {
	buckets := memory.New(nil)
	c := newClock()
	b := newBidder(t, buckets, c, "b", nil)
	b.renew()
	if b.left() != daily/50 {
		t.Errorf("began with %d", b.left())
	}
	for range 15 {
		c.add(time.Second)
		for range 5 {
			if !b.spend(4000) {
				t.Fatal("no money between two renewals")
			}
		}
		b.renew()
	}
	if b.left() < 6*20_000/2 {
		t.Errorf("spending 20000 a second, only %d left", b.left())
	}
	before := b.left()
	if before <= daily/50*3 {
		t.Fatalf("only %d left, nothing that could go back", before)
	}
	for range 30 {
		c.add(time.Second)
		b.renew()
	}
	if b.left() < daily/50 || b.left() > daily/50*3 {
		t.Errorf("spending nothing, %d left of %d", b.left(), before)
	}
	if got, want := granted(t, buckets, c), b.left()+b.spent(); got != want {
		t.Errorf("granted %d by the bucket, %d by the ledger", got, want)
	}
}

// What a dead bidder had not spent goes back when no notice of it can come any more; what it had, by the stream's word
// and not by its last report, does not.
func TestDeath(t *testing.T) {
	buckets := memory.New(nil)
	c := newClock()
	dead := newBidder(t, buckets, c, "dead", nil)
	dead.renew()
	dead.spend(7000) // not reported any more
	var fail error
	b := newBidder(t, buckets, c, "b", func(_ context.Context, name string, _ auction.Day) (map[string]auction.Micros, error) {
		if name != "dead" {
			t.Errorf("asked for the spend of %s", name)
		}
		return map[string]auction.Micros{"c": 7000}, fail
	})
	drain := func() {
		for range 200 {
			b.renew()
			for b.spend(1000) || b.spend(1) {
			}
			c.add(100 * time.Millisecond)
		}
	}
	drain()
	if b.spent() != daily-daily/50 {
		t.Errorf("spent %d beside a lease of %d", b.spent(), daily/50)
	}
	c.add(time.Minute)
	drain()
	if b.spent() != daily-daily/50 {
		t.Errorf("after the lease, before its grace: spent %d", b.spent())
	}
	c.add(time.Hour)
	fail = errors.New("stream away")
	if err := b.m.Renew(t.Context()); !errors.Is(err, fail) {
		t.Errorf("its spend cannot be known: %v", err)
	}
	fail = nil
	drain()
	if b.spent() != daily-7000 {
		t.Errorf("spent %d, want all but 7000", b.spent())
	}
	if g := granted(t, buckets, c); g != daily {
		t.Errorf("granted %d", g)
	}
}

// A process under the name of one that died covers what was spent at once, and has the rest when no notice of the
// first one's bids can come any more.
func TestTakeOver(t *testing.T) {
	buckets := memory.New(nil)
	c := newClock()
	first := newBidder(t, buckets, c, "b", nil)
	first.renew()
	first.spend(5000)
	second := newBidder(t, buckets, c, "b", nil)
	second.ledger.Book("c", "b-1", 5000, c.Now()) // restored from the stream
	second.renew()
	if got := granted(t, buckets, c); got != second.spent()+second.left()+15_000 {
		t.Errorf("granted %d, spent %d, left %d", got, second.spent(), second.left())
	}
	if second.left() != 20_000 {
		t.Errorf("left %d", second.left())
	}
	first.spend(1)
	c.add(time.Second)
	if err := first.m.Renew(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("two under one name: %v", err)
	}
	if err := first.m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	c.add(time.Hour)
	second.renew()
	if second.left() != 35_000 {
		t.Errorf("after its grace: left %d", second.left())
	}
}

// Close gives back what is neither spent nor out on open bids; the latter goes back after the grace.
func TestClose(t *testing.T) {
	buckets := memory.New(nil)
	c := newClock()
	b := newBidder(t, buckets, c, "b", nil)
	b.m.Start()
	b.renew()
	b.spend(3000)
	b.ledger.Reserve("c", "open", 2000, c.Now())
	if err := b.m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g := granted(t, buckets, c); g != 5000 || b.left() != 0 {
		t.Errorf("granted %d, left %d", g, b.left())
	}
	other := newBidder(t, buckets, c, "other", nil)
	other.renew()
	c.add(time.Hour + time.Second)
	other.spend(15_000)
	other.renew()
	if g, want := granted(t, buckets, c), 3000+other.spent()+other.left(); g != want {
		t.Errorf("after the grace: granted %d, want %d", g, want)
	}
}

// With the bucket away a bidder goes on with what it holds until its lease ends, and resumes when it is back.
func TestBucketAway(t *testing.T) {
	dir := t.TempDir()
	s := startNATS(t, dir, 0)
	_, text, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	buckets := connect(t, s)
	c := newClock()
	b := newBidder(t, buckets, c, "b", nil)
	b.renew()
	s.Close()
	away := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := b.m.Renew(ctx); err == nil {
			t.Error("renewed without a bucket")
		}
	}
	away()
	if !b.spend(5000) {
		t.Error("no money while the bucket is away")
	}
	c.add(time.Minute)
	away()
	if b.spend(1) {
		t.Error("spends after its lease")
	}
	startNATS(t, dir, port)
	deadline := time.After(10 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := b.m.Renew(ctx)
		cancel()
		if err == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatal(err)
		default:
		}
	}
	if b.left() == 0 || granted(t, buckets, c) != b.left()+b.spent() {
		t.Errorf("back: left %d, spent %d, granted %d", b.left(), b.spent(), granted(t, buckets, c))
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Every: time.Hour, Share: 2})
	if err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("got %v", err)
	}
}
