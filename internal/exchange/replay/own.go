package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
	"gavel/internal/strictyaml"
)

// One's own log: a directory with a log.yaml that says which column is what.
const (
	ownSet  = "log"
	logFile = "log.yaml"
)

// ownLog is log.yaml.
type ownLog struct {
	File    string `yaml:"file"`    // beside log.yaml: .csv, .ndjson or .jsonl, packed or not (.gz)
	Label   string `yaml:"label"`   // column: 1, true or yes is a click; empty: the hidden click model draws it
	Price   string `yaml:"price"`   // column: the price to beat; empty: drawn
	Unit    string `yaml:"unit"`    // of the price: cpm (USD a thousand) or micros (USD / 10^6 an impression)
	Time    string `yaml:"time"`    // column; empty: the rows have no clock
	Layout  string `yaml:"layout"`  // of the time: unix, unix_ms, rfc3339 or datetime (2006-01-02 15:04:05, UTC)
	Request string `yaml:"request"` // column with the whole bid request; else it is made of what follows

	Size     string            `yaml:"size"`     // of the banner, where `fields` has no imp.size
	Fields   map[string]string `yaml:"fields"`   // request field (site.domain, imp.tagid, …) to column
	Segments []string          `yaml:"segments"` // columns that go to user.segment.<column>
}

var _ strictyaml.Validator = (*ownLog)(nil)

// Validate returns every fault.
func (o *ownLog) Validate() []error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(o.File != "" && filepath.IsLocal(o.File), "file: %q is no file beside %s", o.File, logFile)
	check(o.Unit == "cpm" || o.Unit == "micros", "unit: %q is unknown; use cpm or micros", o.Unit)
	check(slices.Contains([]string{"unix", "unix_ms", "rfc3339", "datetime"}, o.Layout), "layout: %q is unknown; use unix, unix_ms, rfc3339 or datetime", o.Layout)
	if o.Request != "" {
		check(len(o.Fields) == 0 && len(o.Segments) == 0, "request: it is sent as it is; remove fields and segments")
	} else {
		check(len(o.Fields)+len(o.Segments) > 0, "fields: name the columns of a request's fields, or segments, or the column of the whole request")
		_, _, ok := parseSize(o.Size)
		check(ok, "size: %q is no size such as 300x250", o.Size)
	}
	for path := range o.Fields {
		root, _, nested := strings.Cut(path, ".")
		rooted := nested && slices.Contains([]string{"imp", "site", "app", "device", "user", "regs"}, root)
		check(rooted, "fields: %q: begin with imp., site., app., device., user. or regs.", path)
		if _, ok := kindOf(path); rooted && path != "imp.size" {
			check(ok, "fields: %q is no field of OpenRTB 2 that holds a text, a number or a list of them", path)
		}
	}
	return faults
}

type own struct {
	ownLog
	s       *Source
	records records
	paths   []string // of Fields, in order
	latest  float64  // time of the row above
}

func openOwn(dir string, s *Source) (rows, error) {
	o := &own{ownLog: ownLog{Unit: "cpm", Layout: "unix", Size: "300x250"}, s: s}
	if err := strictyaml.ReadFile(filepath.Join(dir, logFile), &o.ownLog); err != nil {
		return nil, err
	}
	var err error
	if o.records, err = openRecords(filepath.Join(dir, o.File)); err != nil {
		return nil, err
	}
	for path := range o.Fields {
		o.paths = append(o.paths, path)
	}
	slices.Sort(o.paths)
	needed := slices.Clone(o.Segments)
	for _, path := range o.paths {
		needed = append(needed, o.Fields[path])
	}
	for _, column := range []string{o.Label, o.Price, o.Time, o.Request} {
		if column != "" {
			needed = append(needed, column)
		}
	}
	for _, column := range needed {
		if !o.records.has(column) {
			return nil, errors.Join(fmt.Errorf("%s has no column %q; fix %s", o.File, column, logFile), o.records.Close())
		}
	}
	return o, nil
}

func (o *own) next(l *lot.Lot, _ *openrtb2.BidRequest) (float64, error) {
	record, err := o.records.next()
	if err != nil {
		return 0, err
	}
	fail := func(err error) (float64, error) { return 0, fmt.Errorf("%s: %w", record.place, err) }
	if o.Request != "" {
		l.Body, l.MayReject = append(l.Body, record.raw(o.Request)...), true
	} else if l.Body, err = o.make(l.Body, record); err != nil {
		return fail(err)
	}
	o.s.describe(l)
	if len(l.Imps) != 1 {
		return fail(fmt.Errorf("the request has %d impressions, and a row is one", len(l.Imps)))
	}
	imp := &l.Imps[0]
	if o.Label != "" {
		if imp.Label, err = ownLabel(record.one(o.Label)); err != nil {
			return fail(fmt.Errorf("column %s: %w", o.Label, err))
		}
	}
	if o.Price != "" {
		if imp.Rival, err = o.price(record.one(o.Price)); err != nil {
			return fail(fmt.Errorf("column %s: %w", o.Price, err))
		}
	}
	if o.Time == "" {
		return -1, nil
	}
	at, err := o.clock(record.one(o.Time))
	if err != nil {
		return fail(fmt.Errorf("column %s: %w", o.Time, err))
	}
	if at < o.latest {
		return fail(fmt.Errorf("column %s: %q is before the row above it; sort the file by time", o.Time, record.one(o.Time)))
	}
	o.latest = at
	return at, nil
}

func (o *own) Close() error { return o.records.Close() }

// make writes the request that a record's columns say. Empty values are left out.
func (o *own) make(body []byte, record record) ([]byte, error) {
	w, h, _ := parseSize(o.Size)
	imp := map[string]any{"id": "1"}
	request := map[string]any{"id": fmt.Sprintf("row-%d", o.s.seq+1), "at": 2, "cur": []string{"USD"},
		"tmax": o.s.o.TMax.Milliseconds(), "imp": []any{imp}}
	for _, path := range o.paths {
		column := o.Fields[path]
		values, err := record.values(column)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
		if len(values) == 0 {
			continue
		}
		if path == "imp.size" {
			var ok bool
			size := strings.Join(values, "|")
			if w, h, ok = parseSize(size); !ok {
				return nil, fmt.Errorf("column %s: %q is no size such as 300x250", column, size)
			}
			continue
		}
		kind, _ := kindOf(path)
		value, err := kind.typed(values)
		if err != nil {
			return nil, fmt.Errorf("column %s: %s: %w", column, path, err)
		}
		steps := strings.Split(path, ".")
		object := request
		if steps[0] == "imp" {
			object, steps = imp, steps[1:]
		}
		for _, step := range steps[:len(steps)-1] {
			inner, ok := object[step].(map[string]any)
			if !ok {
				inner = map[string]any{}
				object[step] = inner
			}
			object = inner
		}
		object[steps[len(steps)-1]] = value
	}
	if imp["banner"] == nil {
		imp["banner"] = map[string]any{}
	}
	if banner, ok := imp["banner"].(map[string]any); ok {
		banner["w"], banner["h"], banner["format"] = w, h, []any{map[string]any{"w": w, "h": h}}
	}
	var segments []openrtb2.Data
	for _, column := range o.Segments {
		values, err := record.values(column)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", column, err)
		}
		if len(values) > 0 {
			segments = append(segments, data(column, elements(values)...))
		}
	}
	if len(segments) > 0 {
		user, ok := request["user"].(map[string]any)
		if !ok {
			user = map[string]any{}
			request["user"] = user
		}
		user["data"] = segments
	}
	if request["site"] == nil && request["app"] == nil {
		request["site"] = map[string]any{"id": "log"}
	}
	text, err := json.Marshal(request)
	return append(body, text...), err
}

func parseSize(s string) (w, h int64, ok bool) {
	first, second, _ := strings.Cut(s, "x")
	w, errW := strconv.ParseInt(first, 10, 32)
	h, errH := strconv.ParseInt(second, 10, 32)
	return w, h, errW == nil && errH == nil && w > 0 && h > 0
}

func ownLabel(value string) (lot.Label, error) {
	switch strings.ToLower(value) {
	case "1", "1.0", "true", "yes":
		return lot.LabelYes, nil
	case "0", "0.0", "false", "no":
		return lot.LabelNo, nil
	}
	return lot.LabelNo, fmt.Errorf("%q is no label; write 0 or 1", value)
}

// price is the price to beat; one of 0 counts as 1 micro, since nothing is given away.
func (o *own) price(value string) (auction.Micros, error) {
	x, err := strconv.ParseFloat(value, 64)
	if err == nil && o.Unit == "micros" {
		x /= 1000
	}
	price, ok := auction.MicrosFromCPM(x)
	if err != nil || !ok || price < 0 {
		return 0, fmt.Errorf("%q is no price in %s", value, o.Unit)
	}
	return max(price, 1), nil
}

// lastSecond is the latest Unix time, in seconds, that a log may hold: milliseconds taken for seconds are above it.
const lastSecond = 1e11

// clock is a row's time in seconds.
func (o *own) clock(value string) (float64, error) {
	switch o.Layout {
	case "unix", "unix_ms":
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || !(x >= 0) {
			return 0, fmt.Errorf("%q is no time in the layout %s", value, o.Layout)
		}
		if o.Layout == "unix_ms" {
			x /= 1000
		}
		if x > lastSecond {
			return 0, fmt.Errorf("%q is later than the year 5000; is the layout unix_ms?", value)
		}
		return x, nil
	}
	layout := time.RFC3339
	if o.Layout == "datetime" {
		layout = time.DateTime
	}
	t, err := time.Parse(layout, value)
	if err != nil || t.Unix() < 0 {
		return 0, fmt.Errorf("%q is no time in the layout %s", value, o.Layout)
	}
	return float64(t.UnixMilli()) / 1000, nil
}
