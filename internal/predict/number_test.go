package predict

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// Numbers are read as strconv reads them, bit for bit, and only those that JSON allows.
func TestNumber(t *testing.T) {
	f := func(text string) {
		t.Helper()
		r := scanner{data: []byte(text + "}")}
		n, ok := r.number()
		if valid := json.Valid([]byte(text)); ok != valid || ok && (r.at != len(text) || string(n.text) != text) || !ok && r.at != 0 {
			t.Errorf("%s: read %v to %d, JSON says %v", text, ok, r.at, valid)
		}
		if !ok {
			return
		}
		want, err := strconv.ParseFloat(text, 64)
		if got, ok := n.float64(); ok != (err == nil) || ok && math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: float64 %v, %v; want %v, %v", text, got, ok, want, err)
		}
		want32, err := strconv.ParseFloat(text, 32)
		if got, ok := n.float32(); ok != (err == nil) || ok && math.Float32bits(got) != math.Float32bits(float32(want32)) {
			t.Errorf("%s: float32 %v, %v; want %v, %v", text, got, ok, want32, err)
		}
		whole, err := strconv.ParseInt(text, 10, 64)
		if got, ok := n.int64(); ok != (err == nil && whole != math.MinInt64) || ok && got != whole {
			t.Errorf("%s: int64 %v, %v; want %v, %v", text, got, ok, whole, err)
		}
		whole, err = strconv.ParseInt(text, 10, 32)
		if got, ok := n.int32(); ok != (err == nil) || ok && int64(got) != whole {
			t.Errorf("%s: int32 %v, %v; want %v, %v", text, got, ok, whole, err)
		}
	}
	for _, text := range strings.Fields(`0 -0 1 -1 01 -01 00 - + +1 .5 5. 5.e1 1e 1e+ 1e5 1E-5 1e+05 0.0 -0.0 0e0 1x 0x1 1_0 NaN Infinity inf -inf
		9007199254740992 9007199254740993 -9007199254740993 16777216 16777217 1e22 1e23 123456789012345678 9223372036854775807 9223372036854775808
		-9223372036854775808 18446744073709551615 18446744073709551616 100000000000000000000000000000001 0.1 0.3 1e308 1.8e308 1e309 -1e400 4.9e-324 1e-400
		3.4028235e38 3.4028236e38 1e39 1e-45 1e-46 2147483647 2147483648 -2147483648 -2147483649 1e-99999999999 1e99999999999
		0.000000000000000000000000000000000000000000000000001 7.2057594037927933e16 1.00000005960464477539062 0.1e-6 2.5e10`) {
		f(text)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		v := math.Float64frombits(random.Uint64())
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		f(strconv.FormatFloat(v, 'g', -1, 64))
		f(strconv.FormatFloat(float64(float32(v)), 'e', 8, 32))
		f(fmt.Sprintf("%d.%de%d", random.IntN(1e6), random.IntN(1e6), random.IntN(60)-30))
	}
}

// A text is read as encoding/json reads it, except that nothing is replaced.
func TestString(t *testing.T) {
	f := func(text string, want string, ok bool) {
		t.Helper()
		r, memory := scanner{data: []byte(text + ",")}, texts{}
		memory.reset(1<<10, true)
		got, read := r.string(&memory)
		if got != want || read != ok || ok && r.at != len(text) || !ok && (r.at != 0 || len(memory.memory) > 0) {
			t.Errorf("%s: %q, %v, at %d; want %q, %v", text, got, read, r.at, want, ok)
		}
		var plain string
		if err := json.Unmarshal([]byte(text), &plain); ok && (err != nil || plain != want) {
			t.Errorf("%s: encoding/json has %q, %v", text, plain, err)
		}
	}
	f(`""`, "", true)
	f(`"a"`, "a", true)
	f(`"a longer text, of more than eight bytes"`, "a longer text, of more than eight bytes", true)
	f(`"żółć 日本 🙂"`, "żółć 日本 🙂", true)
	f(`"a\"b\\c\/d\b\f\n\r\te"`, "a\"b\\c/d\b\f\n\r\te", true)
	f(`"\u0041\u00e9\u20AC\ud83d\ude42\u0000"`, "Aé€🙂\x00", true)
	f(`"�"`, "�", true)
	f(`"\\"`, `\`, true)
	f("\"\x7f\"", "\x7f", true)

	f(`"`, "", false)
	f(`"a`, "", false)
	f(`"a\"`, "", false)
	f(`"\x"`, "", false)
	f(`"\u12"`, "", false)
	f(`"\ud83d"`, "", false)
	f(`"\ude42\ud83d"`, "", false)
	f(`"\ud83dA"`, "", false)
	f("\"a\nb\"", "", false)
	f("\"a longer text \x01 with a control\"", "", false)
	f("\"escaped \\n and \x1f\"", "", false)
	f("\"\xff\"", "", false)
	f("\"a longer text \xc3( that is no UTF-8\"", "", false)
	f("\"\\n\xff\"", "", false)
	f(`1`, "", false)
}
