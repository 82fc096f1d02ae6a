package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
)

// maxLine bounds a line of NDJSON, in bytes.
const maxLine = 8 << 20

type ndjson struct {
	s      *Source
	file   *os.File
	lines  *bufio.Scanner
	number int
}

// openNDJSON reads bid requests, one a line: the request itself, or an object with the request under "body". A name that
// ends in .gz is unpacked. Requests are sent as they are, well-formed or not; what the auction house must know is read
// from them tolerantly.
func openNDJSON(path string, s *Source) (rows, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "requests.ndjson.gz")
	}
	r, file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	return &ndjson{s: s, file: file, lines: lines}, nil
}

func (n *ndjson) next(l *lot.Lot, _ *openrtb2.BidRequest) (float64, error) {
	for n.lines.Scan() {
		n.number++
		line := bytes.TrimSpace(n.lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var wrapper struct {
			Body json.RawMessage `json:"body"`
		}
		if json.Unmarshal(line, &wrapper) == nil && len(wrapper.Body) > 0 {
			line = wrapper.Body
		}
		l.Body = append(l.Body, line...)
		l.MayReject = true
		l.ID = "line-" + strconv.Itoa(n.number)
		n.s.describe(l)
		return -1, nil
	}
	if err := n.lines.Err(); err != nil {
		return 0, fmt.Errorf("after line %d: %w", n.number, err)
	}
	return 0, io.EOF
}

// describe reads what the auction house and the click model need. What is not there or not readable stays empty.
func (s *Source) describe(l *lot.Lot) {
	var body any
	d := json.NewDecoder(bytes.NewReader(l.Body))
	d.UseNumber()
	if d.Decode(&body) != nil {
		return
	}
	l.ID = text(at(body, "id"))
	l.FirstBid = text(at(body, "at")) == "1"
	if ms, ok := number(at(body, "tmax")); ok && ms >= 10 && ms <= 3000 {
		l.TMax = time.Duration(ms) * time.Millisecond
	}
	l.Context = lot.Context{Domain: text(at(body, "site", "domain")), Country: text(at(body, "device", "geo", "country"))}
	if l.Context.Domain == "" {
		l.Context.Domain = text(at(body, "app", "bundle"))
	}
	kind, _ := number(at(body, "device", "devicetype"))
	offset, _ := number(at(body, "device", "geo", "utcoffset"))
	l.Context.DeviceType, l.Context.UTCOffset = int(kind), int(offset)
	imps, _ := at(body, "imp").([]any)
	for i, imp := range imps {
		m := lot.Imp{ID: text(at(imp, "id")), Floor: floor(imp), Rival: s.rival(i), Size: "banner"}
		m.Private = text(at(imp, "pmp", "private_auction")) == "1"
		deals, _ := at(imp, "pmp", "deals").([]any)
		for _, deal := range deals {
			t, _ := number(at(deal, "at"))
			m.Deals = append(m.Deals, lot.Deal{ID: text(at(deal, "id")), Floor: floor(deal), Type: int(t)})
		}
		m.Rival = max(m.Rival, m.Floor)
		l.Imps = append(l.Imps, m)
	}
}

// floor is bidfloor in USD; one in another currency is left to the bidder.
func floor(v any) auction.Micros {
	if cur := text(at(v, "bidfloorcur")); cur != "" && !strings.EqualFold(cur, "USD") {
		return 0
	}
	cpm, _ := number(at(v, "bidfloor"))
	m, _ := auction.MicrosFromCPM(cpm)
	return max(m, 0)
}

func at(v any, path ...string) any {
	for _, key := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[key]
	}
	return v
}

func text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case json.Number:
		return x.String()
	}
	return ""
}

func number(v any) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text(v)), 64)
	return f, err == nil
}

func (n *ndjson) Close() error { return n.file.Close() }
