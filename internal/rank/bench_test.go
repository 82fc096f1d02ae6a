package rank

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"gavel/internal/race"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/score"
)

// fleet is a scorer of n campaigns whose logits are always the same, and their campaign file: what is measured is all but the
// scoring.
func fleet(n int) (*linear, string) {
	rng := rand.New(rand.NewPCG(1, 2))
	logits := make([]float64, n)
	list := make([]score.Campaign, n)
	var b strings.Builder
	b.WriteString("campaigns:\n")
	for i := range n {
		logits[i] = -7 + 1.5*rng.NormFloat64()
		list[i] = score.Campaign{ID: fmt.Sprintf("campaign-%d", i), Version: 1_790_000_000_000, Prior: 1_780_000_000_000, Variance: 0.1}
		fmt.Fprintf(&b, "- {id: campaign-%d, value: %.2f, landing: 'https://shop.example/%d?click=${TOKEN}'}\n", i, math.Exp(2+rng.NormFloat64())+0.01, i)
	}
	scorer := newLinear(-8, list...)
	scorer.score = func(_ context.Context, to []float64) (score.Partial, error) { copy(to, logits); return "", nil }
	return scorer, b.String()
}

const body = `{"profile": {"user_agent": "` + iPhone + `", "country": "DE", "language": "de-DE,en;q=0.8", "provider": "Telekom", "placement": "top"}, "by": "%s", "limit": 10}`

// steps runs the steps of a ranking on w, as rank does.
func (w *work) steps(t testing.TB, text []byte, now time.Time) {
	s := w.server
	w.request.source.Reset(s.options.Profiles.Extra(), now)
	if err := w.decode(text); err != nil {
		t.Fatal(err)
	}
	set := s.options.Campaigns()
	if err := w.check(set); err != nil {
		t.Fatal(err)
	}
	w.profile = s.options.Profiles.Read(w.profile, &w.request.source, &w.lower)
	w.hold()
	p := s.plans.decompose(set, w.views)
	partial, err := w.gather(context.Background(), p)
	w.release()
	if err != nil {
		t.Fatal(err)
	}
	w.sort(w.request.limit)
	w.encode(p, partial, explore.Choice{})
}

// The steps of a ranking allocate nothing.
func TestAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	scorer, campaigns := fleet(500)
	w := newWorld(t, scorer, campaigns, nil)
	work := &work{server: w.server}
	for _, by := range Orders {
		text := fmt.Appendf(nil, body, by)
		now := time.Now()
		work.steps(t, text, now)
		if n := testing.AllocsPerRun(100, func() { work.steps(t, text, now) }); n != 0 {
			t.Errorf("by %s: %v allocations, want 0", by, n)
		}
	}
}

// BenchmarkSteps is a ranking of 5,000 campaigns without scoring and HTTP.
func BenchmarkSteps(b *testing.B) {
	scorer, campaigns := fleet(5000)
	w := newWorld(b, scorer, campaigns, nil)
	for _, by := range Orders {
		b.Run("by="+by, func(b *testing.B) {
			work := &work{server: w.server}
			text := fmt.Appendf(nil, body, by)
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				work.steps(b, text, now)
			}
		})
	}
}

// BenchmarkHTTP is the same over HTTP on loopback. cpu-µs/op is the CPU time of the whole process, so that of the client too, which
// is kept small: it writes the same bytes and reads the answer's length.
func BenchmarkHTTP(b *testing.B) {
	scorer, campaigns := fleet(5000)
	w := newWorld(b, scorer, campaigns, nil)
	for _, by := range Orders {
		b.Run("by="+by, func(b *testing.B) {
			text := fmt.Sprintf(body, by)
			c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request := fmt.Appendf(nil, "POST /rank HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			in := bufio.NewReader(c)
			began := cpu(b)
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				answer, err := http.ReadResponse(in, nil)
				if err != nil || answer.StatusCode != 200 {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
			}
			b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
