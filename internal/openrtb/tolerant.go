package openrtb

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/bytedance/sonic"
	"github.com/prebid/openrtb/v20/openrtb2"
)

// generic decodes any JSON. It keeps numbers as text, so that long numeric ids lose no digit.
var generic = sonic.Config{UseNumber: true}.Froze()

// maxDepth bounds the nesting of a request that is decoded generically. OpenRTB needs a dozen levels, and a body of
// brackets must not need a deep stack.
const maxDepth = 64

// ReadStandard reads a bid request into the standard types, with the same conversions as Decode but slower. It is for
// checks, and for programs that read requests as an exchange does. If body is not a JSON object, the error is a
// *RequestError.
func ReadStandard(body []byte) (*openrtb2.BidRequest, error) {
	own, request := string(body), new(openrtb2.BidRequest)
	if strict.UnmarshalFromString(own, request) == nil {
		return request, nil
	}
	*request = openrtb2.BidRequest{}
	if err := coerceRequest(own, request); err != nil {
		return nil, err
	}
	return request, nil
}

// coerceRequest reads a body with values of other types than OpenRTB specifies. It decodes without types, then fills
// the struct that request points to, converting each value to its field's type. It returns an error only if body is not
// a JSON object.
func coerceRequest(body string, request any) error {
	if tooDeep(body) {
		return &RequestError{"", "is nested deeper than " + strconv.Itoa(maxDepth) + " levels"}
	}
	var tree any
	if err := generic.UnmarshalFromString(body, &tree); err != nil {
		return syntaxError(err)
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return &RequestError{"", "is not a JSON object"}
	}
	if imp, sent := object["imp"]; sent && imp != nil {
		if _, ok := imp.([]any); !ok {
			if _, ok := imp.(map[string]any); !ok {
				return &RequestError{"imp", "is not an array of objects"}
			}
		}
	}
	coerce(object, reflect.ValueOf(request).Elem())
	return nil
}

// tooDeep reports whether brackets nest deeper than maxDepth.
func tooDeep(body string) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// coerce converts from to dst's type, sets dst, and returns true. If from cannot be converted, coerce returns false and
// does not change dst. null cannot be converted, and "" only to a string.
func coerce(from any, dst reflect.Value) bool {
	switch dst.Kind() {
	case reflect.Pointer:
		if from == nil {
			return false
		}
		p := reflect.New(dst.Type().Elem())
		if !coerce(from, p.Elem()) && !markUnreadable(p) {
			return false
		}
		dst.Set(p)
		return true
	case reflect.Struct:
		object, ok := from.(map[string]any)
		if !ok {
			if list, one := from.([]any); one && len(list) == 1 { // [{…}] for {…}
				object, ok = list[0].(map[string]any)
			}
		}
		if !ok {
			return false
		}
		fields := fieldsOf(dst.Type())
		for key, value := range object {
			i, known := fields[key]
			if !known {
				if i, known = fields[strings.ToLower(key)]; !known {
					continue
				}
				if _, exact := object[strings.ToLower(key)]; exact {
					continue // the key in OpenRTB's spelling takes precedence
				}
			}
			field := dst.Field(i)
			if list, ok := value.([]any); ok && len(list) == 0 && field.Kind() == reflect.Struct {
				continue // some senders write an object without keys so
			}
			if !coerce(value, field) && value != nil {
				markUnreadable(field.Addr())
			}
		}
		return true
	case reflect.Slice:
		if dst.Type() == reflect.TypeFor[json.RawMessage]() { // an extension, kept as it is
			text, err := generic.Marshal(from)
			if err == nil {
				dst.SetBytes(text)
			}
			return err == nil
		}
		if from == nil {
			return false
		}
		list, ok := from.([]any)
		if !ok {
			list = []any{from} // a single value instead of a list
		}
		out := reflect.MakeSlice(dst.Type(), 0, len(list))
		element := reflect.New(dst.Type().Elem()).Elem()
		for _, value := range list {
			element.SetZero()
			if coerce(value, element) && !(element.Kind() == reflect.String && element.Len() == 0) {
				out = reflect.Append(out, element)
			} else if element.Kind() == reflect.Struct {
				out = reflect.Append(out, reflect.Zero(element.Type())) // keeps the indices of the others
			} else if value != nil && markUnreadable(element.Addr()) {
				out = reflect.Append(out, element)
			}
		}
		dst.Set(out)
		return true
	case reflect.String:
		s, ok := coerceString(from, dst.Type() == reflect.TypeFor[jsonText]())
		if ok {
			dst.SetString(s)
		}
		return ok
	case reflect.Int, reflect.Int8, reflect.Int64:
		n, ok := coerceNumber(from, true)
		whole := int64(math.Trunc(min(max(n, -1<<53), 1<<53)))
		if whole == 0 && n != 0 && dst.Type() == reflect.TypeFor[flag]() {
			whole = 1
		}
		if ok = ok && !dst.OverflowInt(whole); ok {
			dst.SetInt(whole)
		}
		return ok
	case reflect.Float64:
		n, ok := coerceNumber(from, dst.Type() != reflect.TypeFor[amount]())
		if ok {
			dst.SetFloat(n)
		}
		return ok
	}
	panic("openrtb: wire type with a field of kind " + dst.Kind().String())
}

// unreadable is a type whose value must not count as absent if it was sent but cannot be converted.
type unreadable interface{ setUnreadable() }

func (a *amount) setUnreadable()       { *a = amount(math.NaN()) }
func (c *currencyCode) setUnreadable() { *c = "?" }
func (q *wireQty) setUnreadable()      { q.Multiplier.setUnreadable() }

// What cannot be read of a user's rights is taken in the user's favour.
func (f *flag) setUnreadable()        { *f = 1 }
func (s *signal) setUnreadable()      { *s = contradiction }
func (id *sectionID) setUnreadable()  { *id = badSection }
func (d *demand) setUnreadable()      { *d = 3 }
func (r *wireRegs) setUnreadable()    { r.GDPR, r.COPPA = 1, 1 }
func (r *wireRegsExt) setUnreadable() { r.GDPR, r.COPPA = 1, 1 }

// markUnreadable marks what p points to, if its type can be marked.
func markUnreadable(p reflect.Value) bool {
	u, ok := p.Interface().(unreadable)
	if ok {
		u.setUnreadable()
	}
	return ok
}

// coerceString reads a string, number or boolean, or a list of strings, which it joins by commas (keywords). If text is
// set, it also reads an object, as JSON text.
func coerceString(from any, text bool) (string, bool) {
	switch v := from.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case []any:
		parts := make([]string, 0, len(v))
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return "", false
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), true
	case map[string]any:
		if text {
			s, err := generic.MarshalToString(v)
			return s, err == nil
		}
	}
	return "", false
}

// coerceNumber reads a finite number, a string with one, or the first of a list of these. If truth is set, it also reads a
// boolean, as 0 or 1.
func coerceNumber(from any, truth bool) (float64, bool) {
	var s string
	switch v := from.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = strings.TrimSpace(v)
		switch strings.ToLower(s) {
		case "true", "yes":
			return 1, truth
		case "false", "no":
			return 0, truth
		}
	case bool:
		if v {
			return 1, truth
		}
		return 0, truth
	case []any:
		if len(v) > 0 {
			if _, nested := v[0].([]any); !nested {
				return coerceNumber(v[0], truth)
			}
		}
		return 0, false
	default:
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, false
	}
	return n, true
}

// fieldMaps caches fieldsOf by type.
var fieldMaps sync.Map // reflect.Type → map[string]int

// fieldsOf maps the JSON names of a struct's fields to their indices.
func fieldsOf(t reflect.Type) map[string]int {
	if cached, ok := fieldMaps.Load(t); ok {
		return cached.(map[string]int)
	}
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	fieldMaps.Store(t, fields)
	return fields
}
