package predict

import (
	"math"
	"strconv"
	"unsafe"
)

// number is a JSON number as it was read: ± mantissa · 10^exponent. Where exact is false, its digits were too many for the
// mantissa, and only text holds its value.
type number struct {
	text     []byte
	mantissa uint64
	exponent int
	negative bool
	exact    bool
	whole    bool // it has neither a fraction nor an exponent
}

// number reads a number that a separator follows. If it returns false, it has read nothing: what follows is no number, or
// one that JSON does not allow.
func (r *scanner) number() (n number, ok bool) {
	r.next()
	data, i, digits := r.data, r.at, 0
	if n.negative = i < len(data) && data[i] == '-'; n.negative {
		i++
	}
	first := i
	i, digits = n.take(data, i, digits)
	if size := i - first; size == 0 || size > 1 && data[first] == '0' {
		return n, false
	}
	n.whole = true
	if i < len(data) && data[i] == '.' {
		from := i + 1
		i, digits = n.take(data, from, digits)
		if n.exponent = from - i; i == from {
			return n, false
		}
		n.whole = false
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		e, size := exponent(data[i+1:])
		if size == 0 {
			return n, false
		}
		n.exponent += e
		i += 1 + size
		n.whole = false
	}
	if i < len(data) {
		if c := data[i]; c != ',' && c != ']' && c != '}' && !space(c) {
			return n, false
		}
	}
	n.exact = digits <= 19 // below 2^64
	n.text = data[r.at:i]
	r.at = i
	return n, true
}

// take appends the digits at data[i:] to the mantissa. It returns where they end, and adds to digits how many they are, except for
// leading zeros.
func (n *number) take(data []byte, i, digits int) (end, sum int) {
	m := n.mantissa
	for ; i < len(data); i++ {
		c := data[i] - '0'
		if c > 9 {
			break
		}
		if m = 10*m + uint64(c); m > 0 || digits > 0 {
			digits++
		}
	}
	n.mantissa = m
	return i, digits
}

// exponent reads what stands after the e of a number. size is its length, 0 if it is none.
func exponent(data []byte) (e, size int) {
	sign := 1
	if len(data) > 0 && (data[0] == '+' || data[0] == '-') {
		if data[0] == '-' {
			sign = -1
		}
		size = 1
	}
	from := size
	for ; size < len(data) && data[size]-'0' <= 9; size++ {
		e = min(10*e+int(data[size]-'0'), 1e6) // far beyond what any float holds
	}
	if size == from {
		return 0, 0
	}
	return sign * e, size
}

// Powers of ten that a float64, and a float32, hold exactly.
var (
	tens64 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}
	tens32 = [...]float32{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}
)

// float64 returns the float64 that is nearest to n; false if n is larger than any. Where mantissa and power of ten are both
// exact, one multiplication or division rounds correctly.
func (n *number) float64() (v float64, ok bool) {
	e := n.exponent
	if !n.exact || n.mantissa >= 1<<53 || e < 1-len(tens64) || e >= len(tens64) {
		v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(n.text), len(n.text)), 64)
		return v, err == nil
	}
	if v = float64(n.mantissa); e < 0 {
		v /= tens64[-e]
	} else {
		v *= tens64[e]
	}
	if n.negative {
		v = -v
	}
	return v, true
}

// float32 returns the float32 that is nearest to n; false if n is larger than any.
func (n *number) float32() (v float32, ok bool) {
	e := n.exponent
	if !n.exact || n.mantissa >= 1<<24 || e < 1-len(tens32) || e >= len(tens32) {
		v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(n.text), len(n.text)), 32)
		return float32(v), err == nil
	}
	if v = float32(n.mantissa); e < 0 {
		v /= tens32[-e]
	} else {
		v *= tens32[e]
	}
	if n.negative {
		v = -v
	}
	return v, true
}

// int64 returns n if it is a whole number, written as one, of at most 63 bits.
func (n *number) int64() (v int64, ok bool) {
	if !n.whole || !n.exact || n.mantissa > math.MaxInt64 {
		return 0, false
	}
	v = int64(n.mantissa)
	if n.negative {
		v = -v
	}
	return v, true
}

// int32 returns n if it is a whole number, written as one, in the range of int32.
func (n *number) int32() (v int32, ok bool) {
	w, ok := n.int64()
	return int32(w), ok && w == int64(int32(w))
}
