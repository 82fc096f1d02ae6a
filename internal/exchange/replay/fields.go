package replay

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/prebid/openrtb/v20/openrtb2"
)

// fieldKind is what a field of a bid request holds.
type fieldKind struct {
	number, whole bool // a JSON number; an integer
	list          bool
}

// kindOf says what the request field of a path holds, by OpenRTB's own types; `imp` stands for one impression. Below an
// ext everything is a text. false: there is no such field, or it holds an object.
func kindOf(path string) (fieldKind, bool) {
	at := reflect.TypeFor[openrtb2.BidRequest]()
	for _, step := range strings.Split(path, ".") {
		if at == reflect.TypeFor[json.RawMessage]() {
			if step == "" {
				return fieldKind{}, false
			}
			continue
		}
		for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice {
			at = at.Elem()
		}
		field, ok := fieldOf(at, step)
		if !ok {
			return fieldKind{}, false
		}
		at = field
	}
	if at == reflect.TypeFor[json.RawMessage]() {
		return fieldKind{}, !strings.HasSuffix(path, ".ext")
	}
	var kind fieldKind
	for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice {
		kind.list = kind.list || at.Kind() == reflect.Slice
		at = at.Elem()
	}
	switch {
	case at.Kind() == reflect.String:
		return kind, true
	case at.Kind() >= reflect.Int && at.Kind() <= reflect.Uint64:
		kind.number, kind.whole = true, true
		return kind, true
	case at.Kind() == reflect.Float64 || at.Kind() == reflect.Float32:
		kind.number = true
		return kind, true
	}
	return fieldKind{}, false
}

// fieldOf is the type of an object's field by its JSON name.
func fieldOf(object reflect.Type, name string) (reflect.Type, bool) {
	if object.Kind() != reflect.Struct || name == "" {
		return nil, false
	}
	for i := range object.NumField() {
		f := object.Field(i)
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return f.Type, true
		}
	}
	return nil, false
}

// elements are the values of a list: those of a JSON list, or what "|" separates in one text.
func elements(values []string) []string {
	if len(values) == 1 {
		return strings.Split(values[0], "|")
	}
	return values
}

// typed gives a column's values the JSON type of their field.
func (k fieldKind) typed(values []string) (any, error) {
	if k.list {
		values = elements(values)
	} else if len(values) > 1 {
		return nil, fmt.Errorf("%d values, and the field holds one", len(values))
	}
	out := make([]any, len(values))
	for i, value := range values {
		out[i] = value
		if !k.number {
			continue
		}
		x, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil || math.IsNaN(x) || math.IsInf(x, 0):
			return nil, fmt.Errorf("%q is no number", value)
		case !k.whole:
			out[i] = x
		case x != math.Trunc(x) || math.Abs(x) > 1<<53:
			return nil, fmt.Errorf("%q is no whole number", value)
		default:
			out[i] = int64(x)
		}
	}
	if k.list {
		return out, nil
	}
	return out[0], nil
}
