package datasets

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
)

// Row is one example: a click that was shown a campaign, and whether a sale followed.
type Row struct {
	ID       string   // unique in the data set
	Time     int64    // of the click, Unix milliseconds
	Campaign string   // 1 to 256 bytes
	Values   []string // of the set's fields, in their order; "" where the profile lacks one
	Label    bool     // a sale followed
	Weight   float64  // 1 / propensity; 1 where it is unknown
	Value    float64  // of the sale; 0 without one
}

// The columns of every data set, beside one text column for each field.
const (
	columnID       = "id"
	columnTime     = "time"
	columnCampaign = "campaign"
	columnLabel    = "label"
	columnWeight   = "weight"
	columnValue    = "value"
)

const (
	maxFields        = 64
	maxFieldBytes    = 128
	maxCampaignBytes = 256
	maxTextBytes     = 64 << 10 // of an id or a field's value
)

// layout knows where a set's columns are in a Parquet row: columns are in the order of their names.
type layout struct {
	fields []string
	schema *parquet.Schema
	columns
	texts []int // of the fields
}

type columns struct{ id, time, campaign, label, weight, value int }

func newLayout(fields []string) (*layout, error) {
	if len(fields) == 0 || len(fields) > maxFields {
		return nil, fmt.Errorf("%d fields: want 1 to %d", len(fields), maxFields)
	}
	text := func() parquet.Node { return parquet.Encoded(parquet.String(), &parquet.RLEDictionary) }
	group := parquet.Group{
		columnID:       parquet.String(),
		columnTime:     parquet.Timestamp(parquet.Millisecond),
		columnCampaign: text(),
		columnLabel:    parquet.Leaf(parquet.BooleanType),
		columnWeight:   parquet.Leaf(parquet.DoubleType),
		columnValue:    parquet.Leaf(parquet.DoubleType),
	}
	for _, name := range fields {
		if name == "" || len(name) > maxFieldBytes || !utf8.ValidString(name) {
			return nil, fmt.Errorf("field %q: want 1 to %d bytes of UTF-8", name, maxFieldBytes)
		}
		if group[name] != nil {
			return nil, fmt.Errorf("field %q: this column exists already", name)
		}
		group[name] = text()
	}
	l := &layout{fields: slices.Clone(fields), schema: parquet.NewSchema("example", group)}
	at := func(name string) int {
		column, _ := l.schema.Lookup(name)
		return column.ColumnIndex
	}
	l.columns = columns{at(columnID), at(columnTime), at(columnCampaign), at(columnLabel), at(columnWeight), at(columnValue)}
	for _, name := range fields {
		l.texts = append(l.texts, at(name))
	}
	return l, nil
}

// put writes a row as Parquet's, whose memory is reused. The values point into r.
func (l *layout) put(out parquet.Row, r *Row) parquet.Row {
	out = slices.Grow(out[:0], len(l.texts)+6)[:len(l.texts)+6]
	set := func(i int, v parquet.Value) { out[i] = v.Level(0, 0, i) }
	set(l.id, parquet.ByteArrayValue([]byte(r.ID)))
	set(l.time, parquet.Int64Value(r.Time))
	set(l.campaign, parquet.ByteArrayValue([]byte(r.Campaign)))
	set(l.label, parquet.BooleanValue(r.Label))
	set(l.weight, parquet.DoubleValue(r.Weight))
	set(l.value, parquet.DoubleValue(r.Value))
	for i, column := range l.texts {
		set(column, parquet.ByteArrayValue([]byte(r.Values[i])))
	}
	return out
}

// row reads a row back.
func (l *layout) row(in parquet.Row) Row {
	r := Row{
		ID: in[l.id].String(), Time: in[l.time].Int64(), Campaign: in[l.campaign].String(), Label: in[l.label].Boolean(),
		Weight: in[l.weight].Double(), Value: in[l.value].Double(), Values: make([]string, len(l.texts)),
	}
	for i, column := range l.texts {
		r.Values[i] = in[column].String()
	}
	return r
}

// check reports the first fault of a row.
func (l *layout) check(r *Row) error {
	if r.Campaign == "" || len(r.Campaign) > maxCampaignBytes || !utf8.ValidString(r.Campaign) {
		return fmt.Errorf("campaign %.40q: want 1 to %d bytes of UTF-8", r.Campaign, maxCampaignBytes)
	}
	if r.Time < 0 {
		return fmt.Errorf("time %d: want Unix milliseconds", r.Time)
	}
	if !(r.Weight >= 0) || math.IsInf(r.Weight, 1) {
		return fmt.Errorf("weight %v: want a finite number from 0", r.Weight)
	}
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return fmt.Errorf("value %v: want a finite number", r.Value)
	}
	if len(r.Values) != len(l.fields) {
		return fmt.Errorf("%d values: the set has %d fields", len(r.Values), len(l.fields))
	}
	if !isText(r.ID) {
		return errors.New("id: want at most 64 KiB of UTF-8")
	}
	for i, v := range r.Values {
		if !isText(v) {
			return fmt.Errorf("field %s: want at most 64 KiB of UTF-8", l.fields[i])
		}
	}
	return nil
}

func isText(s string) bool { return len(s) <= maxTextBytes && utf8.ValidString(s) }
