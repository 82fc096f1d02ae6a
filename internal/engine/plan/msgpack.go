package plan

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"gavel/internal/packed"
)

// decoder reads msgpack from memory. It allocates no more than some ten times the bytes that it has read: lengths that the input
// only claims reserve nothing. Faults are collected. One after which the rest cannot be understood breaks it: then every method
// returns at once, and gives zeros.
type decoder struct {
	*packed.Reader
	items  int // of lists so far
	faults []error
	broken bool
}

func (d *decoder) fault(format string, args ...any) {
	switch {
	case d.broken:
	case len(d.faults) == maxFaults:
		d.faults = append(d.faults, fmt.Errorf("plan: more than %d faults", maxFaults))
		d.broken = true
	default:
		d.faults = append(d.faults, fmt.Errorf("plan: "+format, args...))
	}
}

func (d *decoder) breaks(format string, args ...any) {
	d.Break(format, args...)
	d.ended()
}

// ended takes over what has ended the reader.
func (d *decoder) ended() {
	if err := d.Err(); err != nil {
		d.fault("%v", err)
		d.broken = true
	}
}

func (d *decoder) next() packed.Token {
	t := d.Next()
	d.ended()
	return t
}

// want reads a value of a type. Another one is a fault; if elements follow, they are not looked for.
func (d *decoder) want(at string, is packed.Type) packed.Token {
	t := d.next()
	if t.Is == is {
		return t
	}
	d.fault("%s is a %s, must be a %s", at, t.Is, is)
	d.broken = d.broken || t.N > 0
	return packed.Token{Is: is}
}

func (d *decoder) integer(at string) int64 { return d.want(at, packed.Integer).Integer }

// number is an integer that is not negative, and fits into an int32.
func (d *decoder) number(at string) int {
	i := d.integer(at)
	if i < 0 || i > math.MaxInt32 {
		d.fault("%s is %d, must be a number from 0 on", at, i)
		return 0
	}
	return int(i)
}

func (d *decoder) float(at string) float64 { return d.want(at, packed.Float).Float }

func (d *decoder) text(at string, limit int) string {
	t := d.want(at, packed.Text)
	if len(t.Bytes) > limit {
		d.fault("%s has %d bytes, at most %d are allowed", at, len(t.Bytes), limit)
		return ""
	}
	if !utf8.Valid(t.Bytes) {
		d.fault("%s is not UTF-8", at)
		return ""
	}
	return string(t.Bytes)
}

// list calls element for each of a list of at most limit.
func (d *decoder) list(at string, limit int, element func(i int)) {
	t := d.want(at, packed.List)
	d.counted(at, t.N, limit)
	for i := 0; i < t.N && !d.broken; i++ {
		element(i)
	}
}

// counted breaks the decoder if a list is too long, or all lists together.
func (d *decoder) counted(at string, n, limit int) {
	if d.items += n; n > limit || d.items > maxItems {
		d.breaks("%s has %d elements; at most %d are allowed, and %d in all lists of a plan", at, n, limit, maxItems)
	}
}

// pairs calls value for each pair of a map with distinct text keys.
func (d *decoder) pairs(at string, value func(name string)) {
	t := d.want(at, packed.Map)
	if t.N > maxParameters {
		d.breaks("%s has %d keys, at most %d are allowed", at, t.N, maxParameters)
	}
	seen := map[string]bool{}
	for i := 0; i < t.N && !d.broken; i++ {
		name := d.text("a key of "+at, maxText)
		if seen[name] {
			d.breaks("%s has the key %q twice", at, name)
			return
		}
		seen[name] = true
		value(name)
	}
}

// object reads a map with exactly these keys.
func (d *decoder) object(at string, fields map[string]func()) {
	if at == "" {
		at = "the plan"
	}
	seen := map[string]bool{}
	d.pairs(at, func(name string) {
		field, ok := fields[name]
		if !ok {
			d.fault("%s has the unknown key %q", at, name)
			d.value(name)
			return
		}
		seen[name] = true
		field()
	})
	if d.broken {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !seen[name] {
			d.fault("%s lacks the key %q", at, name)
		}
	}
}

// value reads nil, bool, int64, float64, string, or a []any of these.
func (d *decoder) value(at string) any {
	t := d.next()
	if t.Is != packed.List {
		return d.scalar(at, t)
	}
	d.counted(at, t.N, maxItems)
	list := []any{}
	for i := 0; i < t.N && !d.broken; i++ {
		list = append(list, d.scalar(at, d.next()))
	}
	return list
}

func (d *decoder) scalar(at string, t packed.Token) any {
	switch t.Is {
	case packed.Flag:
		return t.Flag
	case packed.Integer:
		return t.Integer
	case packed.Float:
		return t.Float
	case packed.Text:
		if len(t.Bytes) > maxText || !utf8.Valid(t.Bytes) {
			d.breaks("%s holds a text of more than %d bytes, or one that is not UTF-8", at, maxText)
			return ""
		}
		return string(t.Bytes)
	case packed.Nil:
		return nil
	default:
		d.fault("%s holds a %s, which no setting does", at, t.Is)
		d.broken = d.broken || t.N > 0
		return nil
	}
}
