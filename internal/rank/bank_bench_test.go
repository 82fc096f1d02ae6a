package rank

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"gavel/internal/rank/bank"
	files "gavel/internal/rank/classifiers"
	"gavel/internal/rank/profile"
	"gavel/internal/rank/ranktest"
)

// BenchmarkBank is /rank over HTTP with a bank of 5,000 classifiers that know 1,795 values each, and another user each time. cpu-µs/op
// is the CPU of the whole process, so with the client's.
func BenchmarkBank(b *testing.B) {
	const campaigns, users = 5000, 512
	made := ranktest.New(ranktest.Options{Seed: 1, Prior: true})
	filled, err := bank.New(bank.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(filled.Close)
	changes := []files.Change{{File: made.Prior()}}
	var campaignFile strings.Builder
	campaignFile.WriteString("campaigns:\n")
	for i := range campaigns {
		fmt.Fprintf(&campaignFile, "- {id: %s, value: %d, landing: 'https://shop.example/'}\n", made.Campaign(i), 1+i%50)
		if changes = append(changes, files.Change{File: made.Classifier(i, 1)}); len(changes) >= 500 || i == campaigns-1 {
			for _, err := range filled.Apply(changes) {
				if err != nil {
					b.Fatal(err)
				}
			}
			changes = changes[:0]
		}
	}
	fields := map[string][]string{}
	for _, f := range made.Profile(0) {
		fields[f.Name] = nil
	}
	w := newWorld(b, newLinear(0), campaignFile.String(), func(o *Options) {
		o.Models = []Model{{"sale", filled}}
		if o.Profiles, err = profile.NewReader(fields); err != nil {
			b.Fatal(err)
		}
	})
	var requests [users][]byte
	for i := range requests {
		var text strings.Builder
		text.WriteString(`{"profile": {"user_agent": "` + iPhone + `"`)
		for _, f := range made.Profile(i) {
			fmt.Fprintf(&text, ", %q: %q", f.Name, f.Value)
		}
		text.WriteString("}}")
		requests[i] = fmt.Appendf(nil, "POST /rank HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", text.Len(), text.String())
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	b.ReportAllocs()
	began, n := cpu(b), 0
	for b.Loop() {
		if _, err := c.Write(requests[n%users]); err != nil {
			b.Fatal(err)
		}
		n++
		answer, err := http.ReadResponse(in, nil)
		if err != nil || answer.StatusCode != 200 {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/1e3/float64(n), "cpu-µs/op")
}
