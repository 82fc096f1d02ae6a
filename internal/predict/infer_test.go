package predict

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/race"
)

// tensorOf is one input of a request.
func tensorOf(name, shape, datatype, data string) string {
	return fmt.Sprintf(`{"name":%q,"shape":%s,"datatype":%q,"data":%s}`, name, shape, datatype, data)
}

func inputs(all ...string) string { return `{"inputs":[` + strings.Join(all, ",") + `]}` }

var (
	textTensor = tensorOf("text", "[2]", "BYTES", `["a","b"]`)
	sizeTensor = tensorOf("size", "[2,1]", "FP64", `[[1.5],[null]]`)
	pairTensor = tensorOf("pair", "[2,2]", "FP32", `[1,2,3,4]`)
	kindTensor = tensorOf("kind", "[2]", "INT32", `[-1,7]`)
)

func TestInfer(t *testing.T) {
	var r infer // one for all, so that the tests see anything left of an earlier request
	var columns table
	f := func(name, body, tail, want string) {
		t.Helper()
		if err := r.parse(&columns, []byte(body+tail), len(body), mixed, 3); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if err := engine.Fit(columns.columns, mixed.Inputs, columns.n); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := printed(&columns); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	const want = `text ["a" "b"]; size [1.5 NaN]; pair [1 2 3 4]; kind [-1 7]`
	f("in order", inputs(textTensor, sizeTensor, pairTensor, kindTensor), "", want)
	f("in another order", inputs(kindTensor, pairTensor, sizeTensor, textTensor), "", want)
	f("nested", inputs(textTensor, sizeTensor, tensorOf("pair", "[2,2]", "FP32", `[[1,2],[3,4]]`), kindTensor), "", want)
	f("data first", inputs(`{"data":["a","b"],"datatype":"BYTES","shape":[2,1],"name":"te\u0078t"}`, sizeTensor, pairTensor, kindTensor), "", want)
	f("whole numbers", inputs(textTensor, tensorOf("size", "[2]", "INT64", `[9007199254740992,-3]`), tensorOf("pair", "[2,2]", "INT32", `[1,2,3,16777216]`),
		tensorOf("kind", "[2]", "INT64", `[-2147483648,2147483647]`)), "", `text ["a" "b"]; size [9.007199254740992e+15 -3]; pair [1 2 3 1.6777216e+07]; kind [-2147483648 2147483647]`)
	f("float32 in float64", inputs(textTensor, tensorOf("size", "[2]", "FP32", `[0.1,1]`), pairTensor, kindTensor), "",
		`text ["a" "b"]; size [0.10000000149011612 1]; pair [1 2 3 4]; kind [-1 7]`)
	f("nulls", `{"id":null,"parameters":null,"outputs":null,"inputs":[`+strings.Join([]string{textTensor, sizeTensor, pairTensor, strings.Replace(kindTensor, "{", `{"parameters":null,`, 1)}, ",")+`]}`, "", want)
	f("unknown keys", `{"id":"7","x":1,"parameters":{"a":1},"inputs":[`+strings.Join([]string{textTensor, sizeTensor, pairTensor, kindTensor}, ",")+`]}`, "", want)

	binaryOf := func(name, shape, datatype string, size int) string {
		return fmt.Sprintf(`{"name":%q,"shape":%s,"datatype":%q,"parameters":{"binary_data_size":%d}}`, name, shape, datatype, size)
	}
	tail := "\x01\x00\x00\x00a\x01\x00\x00\x00\xff"
	f("binary texts", inputs(binaryOf("text", "[2]", "BYTES", len(tail)), sizeTensor, pairTensor, kindTensor), tail, `text ["a" "\xff"]; size [1.5 NaN]; pair [1 2 3 4]; kind [-1 7]`)
	var all []byte
	for _, v := range []float64{1.5, math.NaN()} {
		all = binary.LittleEndian.AppendUint64(all, math.Float64bits(v))
	}
	for _, v := range []float32{1, 2, 3, 4} {
		all = binary.LittleEndian.AppendUint32(all, math.Float32bits(v))
	}
	for _, v := range []int64{-1, 7} {
		all = binary.LittleEndian.AppendUint64(all, uint64(v))
	}
	f("binary numbers", inputs(binaryOf("size", "[2,1]", "FP64", 16), textTensor, binaryOf("pair", "[2,2]", "FP32", 16), binaryOf("kind", "[2]", "INT64", 16)), string(all), want)
	f("binary float32 in float64", inputs(binaryOf("size", "[2]", "FP32", 8), textTensor, pairTensor, kindTensor), "\x00\x00\x80\x3f\x00\x00\x00\x40",
		`text ["a" "b"]; size [1 2]; pair [1 2 3 4]; kind [-1 7]`)
	f("binary int32 in float64", inputs(binaryOf("size", "[2]", "INT32", 8), textTensor, pairTensor, kindTensor), "\xff\xff\xff\xff\x02\x00\x00\x00",
		`text ["a" "b"]; size [-1 2]; pair [1 2 3 4]; kind [-1 7]`)
}

func TestInferRefuses(t *testing.T) {
	var r infer
	var columns table
	f := func(name, body, tail, want string) {
		t.Helper()
		if err := r.parse(&columns, []byte(body+tail), len(body), mixed, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, want)
		}
	}
	with := func(other string) string { return inputs(other, textTensor, pairTensor, kindTensor) }
	f("nothing", `{}`, "", `no "inputs"`)
	f("an input is missing", inputs(textTensor, pairTensor, kindTensor), "", `input "size" is missing`)
	f("an input twice", inputs(textTensor, textTensor), "", `input "text" is given twice`)
	f("another input", with(tensorOf("age", "[2]", "FP64", `[1,2]`)), "", `input "age" is given; the model has "text", "size"`)
	f("another type", with(tensorOf("size", "[2]", "BOOL", `[true]`)), "", `input "size" has datatype "BOOL"; [FP64 FP32 INT32 INT64] are accepted, without rounding`)
	f("a narrower column", inputs(tensorOf("pair", "[2,2]", "FP64", `[1,2,3,4]`)), "", `input "pair" has datatype "FP64"; [FP32 INT32 INT64]`)
	f("another shape", with(tensorOf("size", "[2,2]", "FP64", `[1,2,3,4]`)), "", `input "size" has a shape that is neither [rows] nor [rows, 1]`)
	f("a flat shape", inputs(tensorOf("pair", "[4]", "FP32", `[1,2,3,4]`)), "", `input "pair" has a shape that is not [rows, 2]`)
	f("no shape", with(`{"name":"size","datatype":"FP64","data":[1,2]}`), "", `a shape that is neither`)
	f("other rows", with(tensorOf("size", "[1]", "FP64", `[1]`)), "", `input "text" has 2 rows, and those before it have 1`)
	f("too few values", with(tensorOf("size", "[2]", "FP64", `[1]`)), "", `input "size" has 1 values; its shape has 2`)
	f("too many values", with(tensorOf("size", "[2]", "FP64", `[1,2,3]`)), "", `input "size" has more than the 2 values of its shape`)
	f("uneven rows", inputs(tensorOf("pair", "[2,2]", "FP32", `[[1,2,3],[4]]`)), "", `row 0 of input "pair" has 3 values; its shape has 2`)
	f("values among rows", inputs(tensorOf("pair", "[2,2]", "FP32", `[[1,2],3,4]`)), "", `'3' where [ is expected`)
	f("rows among values", inputs(tensorOf("pair", "[2,2]", "FP32", `[1,[2,3],4]`)), "", `'[' where a value is expected`)
	f("no data", with(`{"name":"size","shape":[2],"datatype":"FP64"}`), "", `input "size" has no data`)
	f("a shape of none", with(tensorOf("size", "[-1]", "FP64", `[1,2]`)), "", `where a dimension, a whole number, is expected`)
	f("a value", with(tensorOf("size", "[2]", "FP64", `[1,"x"]`)), "", `1 of 2 rows are refused (rows are numbered from 0): row 1, column "size": "x" is given; a number that float64 holds or null is accepted`)
	f("beyond int64", with(tensorOf("size", "[2]", "INT64", `[1,9007199254740993]`)), "", `9007199254740993 is given; a whole number from -9007199254740992 to 9007199254740992, which float64 holds exactly, or null`)
	f("beyond int32", inputs(tensorOf("kind", "[1]", "INT64", `[2147483648]`), textTensor), "", `those before it have 1`)
	f("a bad output", `{"outputs":[{"name":"x"}]}`, "", `output "x" is asked for; the model has "value"`)
	f("an output twice", `{"outputs":[{"name":"value"},{"name":"value"}]}`, "", `output "value" is asked for twice`)
	f("an output without name", `{"outputs":[{}]}`, "", `an output has no name`)
	f("classification", `{"outputs":[{"name":"value","parameters":{"classification":1}}]}`, "", `"classification": 1, which is not supported`)
	f("shared memory", with(`{"name":"size","parameters":{"shared_memory_region":"x"}}`), "", "not supported")
	f("a binary tensor without bytes", with(`{"name":"size","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":16}}`), "1234", `binary_data_size 16; 4 bytes are left`)
	f("a binary tensor of another size", with(`{"name":"size","shape":[2],"datatype":"FP64","parameters":{"binary_data_size":4}}`), "1234", `binary_data_size 4; its shape of FP64 has 16`)
	f("bytes behind", inputs(textTensor), "1234", `4 bytes follow the last binary input`)
	f("binary and data", with(`{"name":"size","shape":[2],"datatype":"FP64","data":[1,2],"parameters":{"binary_data_size":16}}`), "", "both data and binary_data_size")
	texts := func(tail string) string {
		return inputs(fmt.Sprintf(`{"name":"text","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}`, len(tail)),
			tensorOf("size", "[1]", "FP64", "[1]"), tensorOf("pair", "[1,2]", "FP32", "[1,2]"), tensorOf("kind", "[1]", "INT32", "[1]"))
	}
	for tail, want := range map[string]string{
		"\x05\x00\x00\x00ab": "ends within text 0", "\xff\xff\xff\xffab": "ends within text 0", "\x01": "ends within text 0",
		"\x01\x00\x00\x00ab": "1 bytes after its last text", "\x02\x00\x00\x00a\xff": "which is not UTF-8",
	} {
		f(fmt.Sprintf("texts %q", tail), texts(tail), tail, want)
	}
	body := []byte(inputs(tensorOf("text", "[4]", "BYTES", `["a","b","c","d"]`)))
	if err := r.parse(&columns, body, len(body), mixed, 3); !errors.Is(err, errTooManyRows) {
		t.Errorf("one row too many: %v", err)
	}
}

func TestInferAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	var r infer
	var columns table
	body := []byte(`{"id":"1","outputs":[{"name":"value"}],` + inputs(textTensor, sizeTensor, pairTensor, kindTensor)[1:])
	if n := testing.AllocsPerRun(100, func() {
		if err := r.parse(&columns, body, len(body), mixed, 3); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzInfer feeds requests with binary data: whatever comes, what is accepted is whole.
func FuzzInfer(f *testing.F) {
	body := inputs(textTensor, sizeTensor, pairTensor, kindTensor)
	f.Add([]byte(body), len(body))
	body = inputs(`{"name":"text","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}`, tensorOf("size", "[1]", "INT64", "[1]"),
		tensorOf("pair", "[1,2]", "FP32", "[[1,2]]"), tensorOf("kind", "[1]", "INT64", "[1]"))
	f.Add([]byte(body+"\x01\x00\x00\x00a"), len(body))
	f.Fuzz(func(t *testing.T, body []byte, header int) {
		if header < 0 || header > len(body) {
			return
		}
		var r infer
		var columns table
		if err := r.parse(&columns, body, header, mixed, 4); err != nil {
			return
		}
		if err := engine.Fit(columns.columns, mixed.Inputs, columns.n); err != nil || columns.n < 1 || columns.n > 4 || len(r.tensors) != len(mixed.Inputs) {
			t.Fatalf("%q: %d rows, %d tensors, %v", body, columns.n, len(r.tensors), err)
		}
	})
}
