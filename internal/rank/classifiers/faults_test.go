package classifiers_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/rank/classifiers"
)

// entry is a key of a map with its value; entries keep an order, and can come twice.
type entry struct {
	key   string
	value any
}

type ordered []entry

func (o ordered) EncodeMsgpack(enc *msgpack.Encoder) error {
	if err := enc.EncodeMapLen(len(o)); err != nil {
		return err
	}
	for _, e := range o {
		if err := enc.EncodeString(e.key); err != nil {
			return err
		}
		if err := enc.Encode(e.value); err != nil {
			return err
		}
	}
	return nil
}

// with returns the map with a key's value replaced, or removed if it is nil.
func (o ordered) with(key string, value any) ordered {
	var changed ordered
	for _, e := range o {
		if e.key == key {
			if value == nil {
				continue
			}
			e.value = value
		}
		changed = append(changed, e)
	}
	return changed
}

// envelope puts a body in a file with a checksum that holds.
func envelope(body []byte) []byte {
	b := append([]byte("GAVELCLF\x01\x00\x00\x00"), binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
	b = append(b, body...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func resealed(b []byte) []byte {
	sum := sha256.Sum256(b[:len(b)-32])
	return append(bytes.Clone(b[:len(b)-32]), sum[:]...)
}

func floats(values ...float64) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// faults makes files with a fault each, with another library's msgpack.
func faults(t *testing.T) (all []fault) {
	t.Helper()
	feature := ordered{{"name", "country"}, {"of", []string{"country"}}, {"values", []string{"DE", "PT"}}, {"weights", floats(1, 2)}, {"other", 0.5}}
	golden := ordered{{"fields", []string{"country"}}, {"profiles", [][]string{{"DE"}}}, {"probabilities", floats(0.8175744761936437)}}
	whole := ordered{{"kind", "classifier"}, {"campaign", "c"}, {"version", 7}, {"prior", 0}, {"trainer", "t"}, {"data", make([]byte, 32)},
		{"trained_ms", 1}, {"rows", 2}, {"positives", 1}, {"intercept", 0.5}, {"variance", 0.0}, {"features", []any{feature}}, {"golden", golden}}
	pack := func(body any) []byte {
		var b bytes.Buffer
		enc := msgpack.NewEncoder(&b)
		enc.UseCompactInts(true)
		if err := enc.Encode(body); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := envelope(pack(whole))
	if f, err := classifiers.Decode(good); err != nil || f.Features[0].Weights[1] != 2 {
		t.Fatalf("without a fault: %+v, %v", f, err)
	}
	file := func(name, is, says string, data []byte) {
		all = append(all, fault{Name: name, Is: is, Says: says, Hex: hex.EncodeToString(data)})
	}
	changed := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	file("empty", "damaged", "0 bytes", nil)
	file("no classifier file", "damaged", "do not begin as", bytes.Repeat([]byte("no classifier\n"), 10))
	file("cut short", "damaged", "where the head tells", good[:len(good)-1])
	file("cut to the head", "damaged", "do not begin as", good[:16])
	file("a byte more", "damaged", "where the head tells", append(bytes.Clone(good), 0))
	file("a bit of the body is changed", "damaged", "checksum", changed(40, good[40]^1))
	file("a bit of the checksum is changed", "damaged", "checksum", changed(len(good)-1, good[len(good)-1]^1))
	file("a body longer than is allowed", "damaged", "where the head tells", changed(15, 5))
	file("a later layout", "layout", "version 2", resealed(changed(8, 2)))

	body := func(name, says string, body any) { file(name, "contents", says, envelope(pack(body))) }
	body("the body is a list", "the body is a list", []int{1})
	file("the body is empty", "contents", "data ends", envelope(nil))
	file("a value follows the body", "contents", "1 bytes follow", envelope(append(pack(whole), 0xc0)))
	file("the body ends within a value", "contents", "data ends", envelope(pack(whole)[:50]))
	file("a list that claims four thousand million elements", "contents", "at most 64",
		envelope(append(pack(ordered{{"features", nil}})[:10], 0xdd, 0xff, 0xff, 0xff, 0xff)))
	body("a key is missing", "12 of its 13 keys", whole.with("variance", nil))
	body("an unknown key", "it is unknown", append(whole[:len(whole):len(whole)], entry{"extra", 1}))
	body("a key twice", "twice", append(whole[:len(whole):len(whole)], entry{"version", 7}))
	set := func(name, says, key string, value any) { body(name, says, whole.with(key, value)) }
	set("an unknown kind", "kind is", "kind", "model")
	set("a classifier without a campaign", "campaign is empty", "campaign", "")
	set("a campaign of 257 bytes", "256 bytes", "campaign", strings.Repeat("c", 257))
	set("a campaign that is not UTF-8", "not UTF-8", "campaign", "\xff")
	set("a prior with a campaign", "no campaign", "kind", "prior")
	set("version 0", "version is 0", "version", 0)
	set("a negative version", "negative", "version", -1)
	set("a version beyond 2^63 - 1", "too large", "version", uint64(1)<<63)
	set("a version that is a float", "must be a integer", "version", 7.0)
	set("a negative prior", "negative", "prior", -1)
	set("data of 31 bytes", "31 bytes", "data", make([]byte, 31))
	set("data that is text", "must be a binary", "data", strings.Repeat("d", 32))
	set("negative time", "negative", "trained_ms", -1)
	set("more positives than rows", "positives ≤ rows", "positives", 3)
	set("an intercept that is an integer", "must be a float", "intercept", 1)
	set("an intercept that is not a number", "intercept is NaN", "intercept", math.NaN())
	set("an intercept that is infinite", "intercept is +Inf", "intercept", math.Inf(1))
	set("an intercept that is too large", "1e+06", "intercept", 1.1e6)
	set("a negative variance", "variance", "variance", -1.0)
	set("an infinite variance", "variance", "variance", math.Inf(1))
	set("no features", "0 features", "features", []any{})
	set("features of 65", "65 elements", "features", make([]any, 65))
	set("the same name twice", "earlier one", "features", []any{feature, feature.with("of", []string{"device"})})
	set("the same fields twice", "earlier one", "features", []any{feature, feature.with("name", "other")})
	of := func(name, says, key string, value any) { set(name, says, "features", []any{feature.with(key, value)}) }
	of("a feature without weights", "4 of its 5 keys", "weights", nil)
	of("a feature without a name", "name must have", "name", "")
	of("a feature of no fields", "names 0 fields", "of", []string{})
	of("a feature of five fields", "5 elements", "of", []string{"a", "b", "c", "d", "e"})
	of("a field twice", `"a" again`, "of", []string{"a", "a"})
	of("a field without a name", "1 to 256 bytes", "of", []string{""})
	of("a field with a separator", "U+001F", "of", []string{"a\x1fb"})
	of("values that descend", "not above", "values", []string{"PT", "DE"})
	of("a value twice", "not above", "values", []string{"DE", "DE"})
	of("a value that is not UTF-8", "not UTF-8", "values", []string{"DE", "\xff"})
	of("fewer weights than values", "2 values and 1 weights", "weights", floats(1))
	of("weights of 15 bytes", "15 bytes", "weights", floats(1, 2)[:15])
	of("a weight that is not a number", "weights[1] is NaN", "weights", floats(1, math.NaN()))
	of("a weight that is infinite", "weights[0] is -Inf", "weights", floats(math.Inf(-1), 1))
	of("a weight that is too large", "1e+06", "weights", floats(1, -1.1e6))
	of("other that is not a number", "other is NaN", "other", math.NaN())
	probe := func(name, says, key string, value any) { set(name, says, "golden", golden.with(key, value)) }
	probe("golden without fields", "2 of its 3 keys", "fields", nil)
	probe("a golden field twice", "again", "fields", []string{"country", "country"})
	probe("a golden profile that is short", "0 values for 1 fields", "profiles", [][]string{{}})
	probe("more golden profiles than probabilities", "2 profiles and 1 probabilities", "profiles", [][]string{{"DE"}, {"PT"}})
	probe("a golden value that is not UTF-8", "not UTF-8", "profiles", [][]string{{"\xff"}})
	probe("a golden probability above 1", "must be 0 to 1", "probabilities", floats(1.5))
	probe("a golden probability that is not a number", "must be 0 to 1", "probabilities", floats(math.NaN()))
	return all
}
