package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/recipe"
)

func encodeRecipe(t testing.TB) *recipe.Recipe {
	t.Helper()
	r, err := recipe.Decode("recipe.yaml", []byte(`
model: m
label: click
architecture: {kind: logreg}
features:
  - {name: os, source: device.os, encoder: vocabulary, values: [ios, android]}
  - {name: floor, source: impression.floor, transform: log_bucket, encoder: hash, buckets: 8}
  - {name: cat, source: inventory.categories, slots: 2, encoder: hash, buckets: 8}
  - {name: os_x_cat, transform: cross, of: [os, cat], slots: 2, encoder: hash, buckets: 8}
`))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func decodeAll(t testing.TB, b []byte) (rows Rows, frames []int) {
	t.Helper()
	d := msgpack.NewDecoder(bytes.NewReader(b))
	for {
		f, err := DecodeFrame(d)
		if errors.Is(err, io.EOF) {
			return rows, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		rows.F = f.Rows.F
		rows.X = append(rows.X, f.Rows.X...)
		rows.Y = append(rows.Y, f.Rows.Y...)
		rows.W = append(rows.W, f.Rows.W...)
		rows.T = append(rows.T, f.Rows.T...)
		frames = append(frames, f.Rows.N())
	}
}

func TestEncodeCSV(t *testing.T) {
	r := encodeRecipe(t)
	in := "\ufefftime_ms,cat,label,os,weight,floor\n1000,IAB1|IAB2,1,ios,0.5,100\n2000,,0,tizen,1,\n3000,\"IAB3\",0.25,android,2,0\n"
	var out bytes.Buffer
	n, err := EncodeCSV(t.Context(), r, strings.NewReader(in), &out, 2)
	if err != nil || n != 3 {
		t.Fatalf("%d rows, %v; want 3", n, err)
	}
	rows, frames := decodeAll(t, out.Bytes())
	if fmt.Sprint(frames) != "[2 1]" || fmt.Sprint(rows.Y) != "[1 0 0.25]" || fmt.Sprint(rows.W) != "[0.5 1 2]" || fmt.Sprint(rows.T) != "[1000 2000 3000]" {
		t.Errorf("frames %v, y %v, w %v, t %v", frames, rows.Y, rows.W, rows.T)
	}
	want := make([]int32, rows.F)
	for i, values := range [][]string{{"ios", "100", "IAB1|IAB2"}, {"tizen", "", ""}, {"android", "0", "IAB3"}} {
		if err := r.Encoder().EncodeValues(values, want); err != nil {
			t.Fatal(err)
		}
		if got := rows.X[i*rows.F : (i+1)*rows.F]; !equalRows(got, want) {
			t.Errorf("row %d: %v, want %v", i, got, want)
		}
	}
	if rows.X[rows.F] != 3 { // tizen: other
		t.Errorf("an unknown OS has index %d, want 3", rows.X[rows.F])
	}
}

func TestEncodeCSVFaults(t *testing.T) {
	f := func(name, in string, wantRows int64, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			_, err := EncodeCSV(t.Context(), encodeRecipe(t), strings.NewReader(in), &out, 100)
			if err == nil {
				t.Fatal("expected an error")
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
			if rows, _ := decodeAll(t, out.Bytes()); int64(rows.N()) != wantRows {
				t.Errorf("%d rows written, want the %d before the fault", rows.N(), wantRows)
			}
		})
	}
	const head = "os,floor,cat,label\n"
	f("nothing", "", 0, "the input is empty")
	f("columns", "os,oss,os,weight\n", 0, `column "oss" is not a feature of m`, `column "os" is there twice`, `no column "label"`, `feature "floor"`, `feature "cat"`)
	f("a cross needs no column", "os,floor,cat,label,os_x_cat\n", 0, `column "os_x_cat" is not a feature`)
	f("label", head+"ios,1,a,1\nios,1,a,2\n", 1, `line 3: column label: "2" is not a number from 0 to 1`)
	f("label nan", head+"ios,1,a,nan\n", 0, "line 2: column label")
	f("floor", head+"ios,x,a,1\n", 0, `line 2: features: floor: log_bucket does not take "x"`)
	f("short line", head+"ios,1,a,0\nios,1\n", 1, "line 3: wrong number of fields")
	f("weight", "os,floor,cat,label,weight\nios,1,a,1,-1\n", 0, `column weight: "-1"`)
	f("time", "os,floor,cat,label,time_ms\nios,1,a,1,noon\n", 0, `column time_ms: "noon"`)
	f("an open quote", head+"\""+strings.Repeat("x", maxRecordBytes+1<<16), 0, "is a quote left open?")
}

func TestEncodeCSVStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := "os,floor,cat,label\n" + strings.Repeat("ios,1,a,1\n", 10)
	if n, err := EncodeCSV(ctx, encodeRecipe(t), strings.NewReader(in), io.Discard, 4); n != 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d rows, %v; want one frame of 4, then the context's error", n, err)
	}
}

// FuzzAnswers: nothing that a child writes to its stdout crashes the trainer.
func FuzzAnswers(f *testing.F) {
	for _, m := range []map[string]any{
		{"type": "hello", "protocol": 1, "model": "m", "row_len": 2, "table_rows": 9, "rows": 3, "pos": "1:2:3:4"},
		{"type": "progress", "rows": 3, "pos": nil, "metrics": map[string]any{"auc": nil, "log_loss": 0.5}},
	} {
		b, err := msgpack.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		answers := newAnswerReader(bytes.NewReader(b))
		for {
			a, err := answers.next()
			if err != nil {
				return
			}
			_, _ = posText(a.Pos)
			a.metric("auc")
		}
	})
}

// FuzzDecodeFrame: no bytes crash the decoder, and what it takes is whole.
func FuzzDecodeFrame(f *testing.F) {
	r := Rows{F: 2}
	r.Add([]int32{1, 2}, 1, 1, 3)
	b, err := AppendRows(nil, &r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := DecodeFrame(msgpack.NewDecoder(bytes.NewReader(b)))
		if err == nil && frame.Kind == RowsFrame && len(frame.Rows.X) != frame.Rows.N()*frame.Rows.F {
			t.Fatalf("%d indices for %d rows of %d", len(frame.Rows.X), frame.Rows.N(), frame.Rows.F)
		}
	})
}

func BenchmarkAppendRows(b *testing.B) {
	r := Rows{F: 33}
	for i := range 256 {
		r.Add(make([]int32, 33), 0, 1, int64(i))
	}
	var dst []byte
	var err error
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = AppendRows(dst[:0], &r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*256), "ns/row")
}
