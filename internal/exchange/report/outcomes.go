package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"gavel/internal/auction"
)

// OutcomesHeader is the first line of the outcomes file, which has one row for each impression that was shown and
// billed. The teacher's columns are the probabilities from which the user's decisions were drawn; they are empty if the
// labels come from a log. bid_id is seatbid.bid.id. converted can be 1 only if clicked is.
const OutcomesHeader = "bid_id,imp_id,time_ms,campaign,teacher_click_p,clicked,teacher_conversion_p,converted,price_micros"

// Outcome is one row.
type Outcome struct {
	BidID, ImpID      string
	Time              time.Time // when the impression was shown
	Campaign          string
	TeacherClick      float64 // NaN: unknown
	Clicked           bool
	TeacherConversion float64 // P(conversion | click); NaN: unknown
	Converted         bool
	Price             auction.Micros
}

// Outcomes writes the outcomes file. It is safe for concurrent use.
type Outcomes struct {
	mu      sync.Mutex // guards what follows
	w       *bufio.Writer
	line    []byte
	flushed time.Time
	err     error // the first error; no row after it is written
}

// NewOutcomes writes the header to w. Rows reach w within a second as long as rows come, and at Flush.
func NewOutcomes(w io.Writer) *Outcomes {
	o := &Outcomes{w: bufio.NewWriterSize(w, 64<<10), flushed: time.Now()}
	_, o.err = o.w.WriteString(OutcomesHeader + "\n")
	return o
}

// Add appends a row.
func (o *Outcomes) Add(x Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	b := o.line[:0]
	b = append(appendField(b, x.BidID), ',')
	b = append(appendField(b, x.ImpID), ',')
	b = append(strconv.AppendInt(b, x.Time.UnixMilli(), 10), ',')
	b = append(appendField(b, x.Campaign), ',')
	b = append(appendProbability(b, x.TeacherClick), ',', bit(x.Clicked), ',')
	b = append(appendProbability(b, x.TeacherConversion), ',', bit(x.Converted), ',')
	b = append(strconv.AppendInt(b, int64(x.Price), 10), '\n')
	o.line = b
	if _, o.err = o.w.Write(b); o.err == nil && time.Since(o.flushed) > time.Second {
		o.flushed = time.Now()
		o.err = o.w.Flush()
	}
}

// Flush writes what is buffered and returns the first error of all writes.
func (o *Outcomes) Flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = o.w.Flush()
	}
	if o.err != nil {
		return fmt.Errorf("report: cannot write outcomes: %w", o.err)
	}
	return nil
}

// appendField appends a field, quoted if CSV requires it.
func appendField(b []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return append(b, s...)
	}
	var quoted strings.Builder
	w := csv.NewWriter(&quoted)
	_ = w.Write([]string{s}) // a strings.Builder never fails
	w.Flush()
	return append(b, strings.TrimSuffix(quoted.String(), "\n")...)
}

func appendProbability(b []byte, p float64) []byte {
	if math.IsNaN(p) {
		return b
	}
	return strconv.AppendFloat(b, p, 'g', 9, 64)
}

func bit(b bool) byte {
	if b {
		return '1'
	}
	return '0'
}
