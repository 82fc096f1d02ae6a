package estimators

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/score"
)

// encoder turns profiles into one campaign's rows. It is immutable.
type encoder struct {
	features []encoded
	columns  []column // of a table
}

// encoded is a feature: the numbers of its values ascend, each with its column.
type encoded struct {
	source  int
	ids     []uint32
	columns []int32
	other   int32 // -1: none
}

func newEncoder(d *description, w *words) *encoder {
	e := &encoder{columns: d.Columns}
	for i := range d.Features {
		f := &d.Features[i]
		one := encoded{source: w.source(f.Of), other: -1}
		if f.Other != nil {
			one.other = *f.Other
		}
		one.ids = w.take(one.source, f.Values)
		order := make([]int, len(one.ids))
		for k := range order {
			order[k] = k
		}
		slices.SortFunc(order, func(a, b int) int { return int(int64(one.ids[a]) - int64(one.ids[b])) })
		ids, columns := make([]uint32, len(order)), make([]int32, len(order))
		for k, from := range order {
			ids[k], columns[k] = one.ids[from], f.Columns[from]
		}
		one.ids, one.columns = ids, columns
		e.features = append(e.features, one)
	}
	return e
}

// row appends the columns that a profile sets, ascending; ids are the profile's, by source.
func (e *encoder) row(columns []int32, ids []uint32) []int32 {
	for i := range e.features {
		f := &e.features[i]
		if f.source >= len(ids) { // a source that is newer than this request
			if f.other >= 0 {
				columns = append(columns, f.other)
			}
			continue
		}
		if at, ok := slices.BinarySearch(f.ids, ids[f.source]); ok {
			columns = append(columns, f.columns[at])
		} else if f.other >= 0 {
			columns = append(columns, f.other)
		}
	}
	return columns
}

// table is a profile's row of named columns. A number that is missing is NaN, as scikit-learn has it.
func (e *encoder) table(p score.Profile) ([]any, error) {
	row := make([]any, len(e.columns))
	for i, c := range e.columns {
		value := text(p, c.Of)
		switch workers.ColumnType(c.Type) {
		case workers.Float64:
			number := math.NaN()
			if value != "" {
				var err error
				if number, err = strconv.ParseFloat(value, 64); err != nil || math.IsInf(number, 0) {
					return nil, fmt.Errorf("column %q: %q is no finite number", c.Name, value)
				}
			}
			row[i] = number
		case workers.Int64:
			number, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("column %q: %q is no integer", c.Name, value)
			}
			row[i] = number
		default:
			row[i] = strings.Clone(value) // a task may still be sent when the request has its answer and reuses its texts
		}
	}
	return row, nil
}
