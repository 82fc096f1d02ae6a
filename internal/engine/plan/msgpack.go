package plan

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// decoder reads msgpack from memory. It allocates no more than some ten times the bytes that it has read: lengths that the input
// only claims reserve nothing. Faults are collected. One after which the rest cannot be understood breaks it: then every method
// returns at once, and gives zeros.
type decoder struct {
	rest   []byte
	size   int // of all, for messages
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
	d.fault("byte %d: %s", d.size-len(d.rest), fmt.Sprintf(format, args...))
	d.broken = true
}

// token is one msgpack value, or the head of a list or map, whose n elements follow.
type token struct {
	is      tokenType
	flag    bool
	integer int64
	float   float64
	bytes   []byte
	n       int
}

type tokenType string

const (
	isNil     tokenType = "nil"
	isFlag    tokenType = "boolean"
	isInteger tokenType = "integer"
	isFloat   tokenType = "float"
	isString  tokenType = "text"
	isBytes   tokenType = "binary"
	isList    tokenType = "list"
	isMap     tokenType = "map"
)

// take returns the next n bytes; nil if there are not so many.
func (d *decoder) take(n int) []byte {
	if d.broken || n > len(d.rest) {
		d.breaks("the file ends within a value")
		return nil
	}
	taken := d.rest[:n:n]
	d.rest = d.rest[n:]
	return taken
}

// unsigned reads a big-endian number of so many bytes.
func (d *decoder) unsigned(bytes int) uint64 {
	var number [8]byte
	copy(number[8-bytes:], d.take(bytes))
	return binary.BigEndian.Uint64(number[:])
}

// next reads a value or head.
func (d *decoder) next() token {
	head := d.take(1)
	if head == nil {
		return token{is: isNil}
	}
	c := head[0]
	switch {
	case c < 0x80:
		return token{is: isInteger, integer: int64(c)}
	case c >= 0xe0:
		return token{is: isInteger, integer: int64(int8(c))}
	case c < 0x90:
		return token{is: isMap, n: int(c & 15)}
	case c < 0xa0:
		return token{is: isList, n: int(c & 15)}
	case c < 0xc0:
		return token{is: isString, bytes: d.take(int(c & 31))}
	}
	switch c {
	case 0xc0:
		return token{is: isNil}
	case 0xc2, 0xc3:
		return token{is: isFlag, flag: c == 0xc3}
	case 0xc4, 0xc5, 0xc6:
		return token{is: isBytes, bytes: d.take(int(d.unsigned(1 << (c - 0xc4))))}
	case 0xca:
		return token{is: isFloat, float: float64(math.Float32frombits(uint32(d.unsigned(4))))}
	case 0xcb:
		return token{is: isFloat, float: math.Float64frombits(d.unsigned(8))}
	case 0xcc, 0xcd, 0xce, 0xcf:
		u := d.unsigned(1 << (c - 0xcc))
		if u > math.MaxInt64 {
			d.breaks("the integer %d is too large", u)
		}
		return token{is: isInteger, integer: int64(u)}
	case 0xd0, 0xd1, 0xd2, 0xd3:
		bytes := 1 << (c - 0xd0)
		return token{is: isInteger, integer: int64(d.unsigned(bytes)<<(64-8*bytes)) >> (64 - 8*bytes)}
	case 0xd9, 0xda, 0xdb:
		return token{is: isString, bytes: d.take(int(d.unsigned(1 << (c - 0xd9))))}
	case 0xdc, 0xdd:
		return token{is: isList, n: int(d.unsigned(2 << (c - 0xdc)))}
	case 0xde, 0xdf:
		return token{is: isMap, n: int(d.unsigned(2 << (c - 0xde)))}
	}
	d.breaks("there is no msgpack value that begins with %#x", c)
	return token{is: isNil}
}

// want reads a value of a type. Another one is a fault; if elements follow, they are not looked for.
func (d *decoder) want(at string, is tokenType) token {
	t := d.next()
	if t.is == is {
		return t
	}
	d.fault("%s is a %s, must be a %s", at, t.is, is)
	d.broken = d.broken || t.n > 0
	return token{is: is}
}

func (d *decoder) integer(at string) int64 { return d.want(at, isInteger).integer }

// number is an integer that is not negative, and fits into an int32.
func (d *decoder) number(at string) int {
	i := d.integer(at)
	if i < 0 || i > math.MaxInt32 {
		d.fault("%s is %d, must be a number from 0 on", at, i)
		return 0
	}
	return int(i)
}

func (d *decoder) float(at string) float64 { return d.want(at, isFloat).float }

func (d *decoder) text(at string, limit int) string {
	t := d.want(at, isString)
	if len(t.bytes) > limit {
		d.fault("%s has %d bytes, at most %d are allowed", at, len(t.bytes), limit)
		return ""
	}
	if !utf8.Valid(t.bytes) {
		d.fault("%s is not UTF-8", at)
		return ""
	}
	return string(t.bytes)
}

// list calls element for each of a list of at most limit.
func (d *decoder) list(at string, limit int, element func(i int)) {
	t := d.want(at, isList)
	d.counted(at, t.n, limit)
	for i := 0; i < t.n && !d.broken; i++ {
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
	t := d.want(at, isMap)
	if t.n > maxParameters {
		d.breaks("%s has %d keys, at most %d are allowed", at, t.n, maxParameters)
	}
	seen := map[string]bool{}
	for i := 0; i < t.n && !d.broken; i++ {
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
	if t.is != isList {
		return d.scalar(at, t)
	}
	d.counted(at, t.n, maxItems)
	list := []any{}
	for i := 0; i < t.n && !d.broken; i++ {
		list = append(list, d.scalar(at, d.next()))
	}
	return list
}

func (d *decoder) scalar(at string, t token) any {
	switch t.is {
	case isFlag:
		return t.flag
	case isInteger:
		return t.integer
	case isFloat:
		return t.float
	case isString:
		if len(t.bytes) > maxText || !utf8.Valid(t.bytes) {
			d.breaks("%s holds a text of more than %d bytes, or one that is not UTF-8", at, maxText)
			return ""
		}
		return string(t.bytes)
	case isNil:
		return nil
	default:
		d.fault("%s holds a %s, which no setting does", at, t.is)
		d.broken = d.broken || t.n > 0
		return nil
	}
}
