// Command loadgen offers HTTP load from one thread and times the answers. All benchmarks use it.
//
// Open loop (--rate): requests are scheduled by a Poisson process, or evenly, independently of the server. Each is
// timed from the moment for which it was scheduled. So a server that stalls is charged for every request that would
// have come meanwhile (no coordinated omission). A request that fails or is never answered counts in the latencies as
// answered at the end of the drain. Closed loop (--rate 0): every connection sends its next request when the last is
// answered, as wrk does. The throughput is then the server's.
//
// The generator uses plain epoll, because it shares cores with the server under test. The last line of stdout is one
// JSON object (see report.go).
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"gavel/internal/process"
)

// flags are the command line.
type flags struct {
	Version kong.VersionFlag `help:"Print the version, the commit and what it was built with, and end."`

	URL         string        `arg:"" help:"Where to send requests, such as http://127.0.0.1:8090/openrtb2/bid."`
	Bodies      string        `required:"" type:"existingfile" help:"Request bodies, one a line, sent in turn."`
	Rate        float64       `help:"Requests a second, open loop; 0: closed loop."`
	Arrivals    string        `enum:"poisson,even" default:"poisson" help:"How open-loop requests are spaced: poisson or even."`
	Connections int           `default:"64" help:"Connections to open. In open loop, a request that waits for a free one is already being timed."`
	Duration    time.Duration `default:"10s" help:"How long to measure."`
	Warmup      time.Duration `default:"2s" help:"How long to offer the same load before measuring."`
	Deadline    time.Duration `default:"100ms" help:"An answer that takes longer is late."`
	Drain       time.Duration `default:"2s" help:"How long to wait for the last answers. Requests that failed or have no answer by then count in the latencies as answered then."`
	Marker      string        `default:"@@@@@@@@@@@@@@@@" help:"16 bytes that are replaced in every body by the request's number, in hexadecimal."`
	Series      string        `help:"Write one JSON line an interval to this file."`
	Interval    time.Duration `default:"1s" help:"The length of an interval."`
	Seed        uint64        `default:"1" help:"Seed of the Poisson process."`
	Label       string        `help:"Text that is copied into the result."`

	Distribution time.Duration `help:"Add to the result a histogram of the answers in steps of this length, by tmax and status; 0: none."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("loadgen"), kong.Vars{"version": process.BuildOf("").Line("loadgen")},
		kong.Description("Offer HTTP load from one thread, open or closed loop, and time every answer from when it was due."))
	if err := run(f); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(f flags) error {
	requests, err := loadRequests(f)
	if err != nil {
		return err
	}
	series, err := openSeries(f.Series)
	if err != nil {
		return err
	}
	g, err := newGenerator(f, requests, series)
	if err != nil {
		return errors.Join(err, series.close())
	}
	defer g.close()
	if err := errors.Join(g.run(), series.close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(g.result())
}

// validate reports every fault of the flags.
func (f flags) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!(f.Rate >= 0 && f.Rate <= 1e6), "--rate %v must be 0 to 1e6", f.Rate)
	fault(f.Connections < 1 || f.Connections > 16384, "--connections %d must be 1 to 16384", f.Connections)
	fault(f.Duration <= 0 || f.Duration > 24*time.Hour, "--duration %v must be above 0, at most 24h", f.Duration)
	fault(f.Warmup < 0, "--warmup %v must not be negative", f.Warmup)
	fault(f.Drain < 0, "--drain %v must not be negative", f.Drain)
	fault(f.Deadline <= 0, "--deadline %v must be above 0", f.Deadline)
	fault(f.Interval < 10*time.Millisecond, "--interval %v must be at least 10ms", f.Interval)
	fault(f.Distribution != 0 && f.Distribution < 10*time.Microsecond, "--distribution %v must be 0 or at least 10us", f.Distribution)
	fault(len(f.Marker) != 16, "--marker %q must be 16 bytes", f.Marker)
	return errors.Join(faults...)
}

// request is one request as it is sent. marks are the positions of its number. tmax is the body's, in ms, or 0.
type request struct {
	wire  []byte
	marks []int
	tmax  int64
}

const maxBody = 1 << 20

// loadRequests renders every body with its head.
func loadRequests(f flags) ([]request, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an http URL; write it as http://127.0.0.1:8090/openrtb2/bid", f.URL)
	}
	file, err := os.Open(f.Bodies)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxBody)
	var requests []request
	for lines.Scan() {
		body := lines.Bytes()
		if len(body) == 0 {
			continue
		}
		wire := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			u.RequestURI(), u.Host, len(body), body)
		r := request{wire: wire, tmax: tmaxOf(body)}
		for at := 0; ; {
			i := bytes.Index(wire[at:], []byte(f.Marker))
			if i < 0 {
				break
			}
			r.marks = append(r.marks, at+i)
			at += i + len(f.Marker)
		}
		requests = append(requests, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read --bodies %s: line %d: %w", f.Bodies, len(requests)+1, err)
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("--bodies %s has no body", f.Bodies)
	}
	return requests, nil
}

// tmaxOf returns the tmax of a bid request in ms, or 0 if it has none.
func tmaxOf(body []byte) int64 {
	var r struct {
		TMax float64 `json:"tmax"`
	}
	if json.Unmarshal(body, &r) != nil {
		return 0
	}
	return int64(r.TMax)
}

const hexDigits = "0123456789abcdef"

// number writes n at the request's marks.
func (r *request) number(n uint64) {
	for _, at := range r.marks {
		v := n
		for i := 15; i >= 0; i-- {
			r.wire[at+i] = hexDigits[v&15]
			v >>= 4
		}
	}
}
