// Package replay offers the auctions of real logs. Each set's rows become OpenRTB requests: columns go where OpenRTB has
// a field for them, the rest into user.data, one data object a column (its name is the column's, its segment's id the
// value), which a recipe reads as `user.segment.<column>`. docs/replay.md says column by column what goes where.
//
// The label never enters a request: it waits in Lot.Imps[0].Label until the ad was shown. The price to beat is the row's
// own market price where the set has one; a bid that reaches it wins and pays it.
package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/lot"
)

// Options say what a log leaves open.
type Options struct {
	Speed       float64       `yaml:"speed"`            // rows' seconds per second, where the rows have a clock and rate is 0
	MaxGap      time.Duration `yaml:"max_gap"`          // a longer pause (after Speed) is cut to this
	TMax        time.Duration `yaml:"tmax"`             // of requests whose log has none
	RivalCPM    float64       `yaml:"rival_median_cpm"` // of rows without a market price: median of the price to beat, USD
	RivalSpread float64       `yaml:"rival_spread"`     // standard deviation of its logarithm
}

// Defaults are the demonstration's.
func Defaults() Options {
	return Options{Speed: 60, MaxGap: time.Second, TMax: 120 * time.Millisecond, RivalCPM: 0.5, RivalSpread: 0.6}
}

// Validate returns every fault.
func (o *Options) Validate() []error {
	var faults []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("replay."+format, args...))
		}
	}
	bad(o.Speed > 0 && !math.IsInf(o.Speed, 0), "speed: %v is not above 0", o.Speed)
	bad(o.MaxGap > 0, "max_gap: %v is not above 0", o.MaxGap)
	bad(o.TMax > 0 && o.TMax <= 10*time.Second, "tmax: %v is not in (0, 10s]", o.TMax)
	bad(o.RivalCPM > 0 && o.RivalCPM <= 1000, "rival_median_cpm: %v is not in (0, 1000]", o.RivalCPM)
	bad(o.RivalSpread >= 0 && o.RivalSpread <= 5, "rival_spread: %v is not in 0 … 5", o.RivalSpread)
	return faults
}

// set is one known log.
type set struct {
	name  string
	files []string // what a directory of it holds, for auto
	open  func(dir string, s *Source) (rows, error)
}

// rows reads one log.
type rows interface {
	// next fills in the parts of l that the row gives (ID, Imps, Context, FirstBid, …) and either req or l.Body, and
	// says when the row was: seconds since anything, negative if unknown. io.EOF ends the log.
	next(l *lot.Lot, req *openrtb2.BidRequest) (at float64, err error)
	Close() error
}

var sets = []set{
	{ownSet, []string{logFile}, openOwn}, // first: it says what it is
	{"ipinyou_2997", []string{"train.fm.txt", "test.fm.txt", "test.theta.txt", "featindex.fm.txt"}, openIPinYou},
	{"rtbkit_auctions_20k", []string{"20000-datacratic-auctions.xz"}, openRTBkit},
	{"criteo_attr_small", []string{"small_train.parquet"}, openCriteo},
	{"talkingdata_100k", []string{"train_sample.csv"}, openTalkingData},
	{"ndjson", []string{"requests.ndjson.gz"}, openNDJSON},
}

// SetNames lists the sets, for help.
func SetNames() string {
	var names []string
	for _, s := range sets {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// Source replays a log once, from its first row to its last. It implements lot.Source.
type Source struct {
	o    Options
	key  dice.Key
	rows rows
	seq  int64
	due  time.Duration // of the row given last
	last float64       // its own time; NaN: none yet
}

// Open opens a log: path is its directory, or the file itself for ndjson. A directory with a log.yaml is one's own log. With set "auto" the files that are there
// decide. The name of the set comes back.
func Open(path, setName string, o Options, seed uint64) (*Source, string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("replay: cannot open the log: %w; --data names its directory or file", err)
	}
	s := &Source{o: o, key: dice.New(seed).With(0x726f7773), last: math.NaN()}
	for _, candidate := range sets {
		if setName != candidate.name && (setName != "auto" || !candidate.matches(path, info.IsDir())) {
			continue
		}
		if s.rows, err = candidate.open(path, s); err != nil {
			return nil, "", fmt.Errorf("replay: cannot open %s as %s: %w", path, candidate.name, err)
		}
		return s, candidate.name, nil
	}
	if setName == "auto" {
		return nil, "", fmt.Errorf("replay: %s holds no set that is known (%s); name one with --set", path, SetNames())
	}
	return nil, "", fmt.Errorf("replay: unknown set %q; there are auto, %s", setName, SetNames())
}

func (c *set) matches(path string, dir bool) bool {
	if !dir {
		return c.name == "ndjson" && slices.ContainsFunc([]string{".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz"}, func(end string) bool { return strings.HasSuffix(path, end) })
	}
	for _, f := range c.files {
		if _, err := os.Stat(filepath.Join(path, f)); err != nil {
			return false
		}
	}
	return true
}

// Next fills l with the next row's auction.
func (s *Source) Next(l *lot.Lot) error {
	*l = lot.Lot{Seq: s.seq, Body: l.Body[:0], Imps: l.Imps[:0], Due: -1, TMax: s.o.TMax}
	var req openrtb2.BidRequest
	at, err := s.rows.next(l, &req)
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return fmt.Errorf("replay: cannot read row %d: %w", s.seq+1, err)
	}
	s.seq++
	l.Due = s.clock(at)
	if len(l.Body) > 0 {
		return nil
	}
	noGDPR := int8(0) // whose rows they are, nobody can tell
	req.Regs = &openrtb2.Regs{GDPR: &noGDPR}
	req.ID, req.TMax, req.AT, req.Cur = l.ID, l.TMax.Milliseconds(), 2, []string{"USD"}
	if l.FirstBid {
		req.AT = 1
	}
	text, err := json.Marshal(&req)
	if err != nil {
		return fmt.Errorf("replay: cannot write row %d: %w", s.seq, err)
	}
	l.Body = append(l.Body, text...)
	return nil
}

// Close ends the replay.
func (s *Source) Close() error { return s.rows.Close() }

// clock turns a row's own time into a due time: differences divided by Speed, never backwards, pauses cut to MaxGap.
func (s *Source) clock(at float64) time.Duration {
	if at < 0 {
		return -1
	}
	if !math.IsNaN(s.last) {
		gap := time.Duration((at - s.last) / s.o.Speed * float64(time.Second))
		s.due += min(max(gap, 0), s.o.MaxGap)
	}
	s.last = at
	return s.due
}

// draw is the key of the row that is being read.
func (s *Source) draw() dice.Key { return s.key.With(uint64(s.seq)) }

// rival draws a price to beat for an impression of a row whose log has none.
func (s *Source) rival(imp int) auction.Micros {
	m, _ := auction.MicrosFromCPM(s.o.RivalCPM * math.Exp(s.o.RivalSpread*s.draw().With(1).With(uint64(imp)).Normal()))
	return max(m, 1)
}

func label(clicked bool) lot.Label {
	if clicked {
		return lot.LabelYes
	}
	return lot.LabelNo
}

// data is one user.data object.
func data(name string, values ...string) openrtb2.Data {
	d := openrtb2.Data{Name: name}
	for _, v := range values {
		d.Segment = append(d.Segment, openrtb2.Segment{ID: v})
	}
	return d
}

func banner(w, h int64) *openrtb2.Banner {
	return &openrtb2.Banner{W: &w, H: &h, Format: []openrtb2.Format{{W: w, H: h}}}
}

func ptr[T any](v T) *T { return &v }
