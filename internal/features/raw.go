package features

import (
	"fmt"
	"strings"
)

// RawColumns returns the columns of a raw file in the order that EncodeValues expects: every feature except crosses,
// which are computed.
func (e *Encoder) RawColumns() []string {
	names := make([]string, 0, len(e.features))
	for i := range e.features {
		if e.features[i].of == nil {
			names = append(names, e.features[i].name)
		}
	}
	return names
}

// EncodeValues writes the row of raw values into row. There is one value for each of RawColumns: what the feature's
// source would give, as text, before the transform. "" means missing. If the feature has several slots, "|" separates
// its values; with one slot, "|" is part of the text. If a transform does not accept a value, the error names the
// feature.
func (e *Encoder) EncodeValues(values []string, row []int32) error {
	r := e.pool.Get().(*Rows)
	defer r.End()
	next := 0
	for i := range e.features {
		f := &e.features[i]
		if f.of != nil {
			r.cross(i, f)
			continue
		}
		if next == len(values) {
			return fmt.Errorf("features: %d values, want %d, one for each of RawColumns", len(values), len(e.RawColumns()))
		}
		n, rest, more := 0, values[next], true
		next++
		for more && n < f.slots {
			value := rest
			if more = f.slots > 1; more {
				value, rest, more = strings.Cut(rest, "|")
			}
			if value != "" && f.tr != nil {
				normal, ok := f.tr.text(value, &r.tbuf)
				if !ok {
					return fmt.Errorf("features: %s: %s does not take %q; leave it empty where it is missing", f.name, f.tr.name, value)
				}
				value = normal
			}
			n = r.addNormal(f, n, value)
		}
		r.finish(i, f, n)
	}
	if next != len(values) {
		return fmt.Errorf("features: %d values, want %d, one for each of RawColumns", len(values), next)
	}
	r.copyTo(row)
	return nil
}
