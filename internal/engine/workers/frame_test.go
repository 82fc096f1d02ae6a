package workers

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write tests/golden/workers/frames.bin")

const golden = "../../../tests/golden/workers"

// frames are those that tests/pytrain/workers/test_protocol.py reads.
func frames(t *testing.T) []byte {
	t.Helper()
	w := newFrameWriter()
	var all bytes.Buffer
	add := func(frame []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all.Write(frame)
	}
	add(w.batch(&batchFrame{seq: 1, load: []load{{7, "/cache/7"}, {70_000, "/cache/ü"}}}))
	add(w.batch(&batchFrame{seq: 2, drop: []uint32{7}, keys: []uint32{7, 70_000, 7}, ends: []uint32{2, 2, 5}, indices: []int32{0, 300, 1, 2, 1 << 20}}))
	add(w.batch(&batchFrame{seq: 3, keys: []uint32{7, 8}, ends: []uint32{1, 1}, indices: []int32{4}, values: []float64{-0.5},
		tables: []table{{1, []any{"DE", 1.5, int64(-3)}}}}))
	s := Source{Name: "c", Path: "/d/c.joblib", Trusted: true, Rows: OneHot, Width: 1800, DType: "float32", Positive: 1}
	for i := range s.SHA256 {
		s.SHA256[i] = byte(i)
	}
	add(w.prepare(4, &s, "/cache/9"))
	add(w.prepare(5, &Source{Path: "/d/p.skops", Rows: Table, Columns: []TableColumn{{"country", Text}, {"age", Float64}}, Positive: -1}, "/cache/10"))
	add(w.stop())
	return all.Bytes()
}

func TestGoldenFrames(t *testing.T) {
	path := filepath.Join(golden, "frames.bin")
	got := frames(t)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the frames changed: raise Protocol, or undo it (go test -update writes them anew)")
	}
}

// TestGoldenAnswers reads the answers that Python wrote.
func TestGoldenAnswers(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(golden, "answers.bin"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(golden, "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want []struct {
		Type, Sklearn, Error        string
		Protocol, PID, Threads, Seq int
		Bytes                       int64
		P                           []float64
		US                          []float32
		Labels                      []string
		Faults, Loads               [][2]any
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	r := newAnswerReader(bytes.NewReader(data))
	pairs := func(all []said) (list [][2]any) {
		for _, s := range all {
			list = append(list, [2]any{float64(s.Of), s.Text})
		}
		return list
	}
	for i, w := range want {
		a, err := r.next()
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var p []float64
		for k := range len(a.P) / 8 {
			p = append(p, a.p(k))
		}
		var us []float32
		for k := range len(a.US) / 4 {
			us = append(us, a.us(k))
		}
		if a.Type != w.Type || a.Sklearn != w.Sklearn || a.Error != w.Error || a.Protocol != w.Protocol || a.PID != w.PID ||
			a.Threads != w.Threads || a.Seq != uint64(w.Seq) || a.Bytes != w.Bytes || !reflect.DeepEqual(p, w.P) || !reflect.DeepEqual(us, w.US) ||
			len(a.Labels) != len(w.Labels) || !reflect.DeepEqual(pairs(a.Faults), w.Faults) || !reflect.DeepEqual(pairs(a.Loads), w.Loads) {
			t.Errorf("answer %d is %+v, want %+v", i, a, w)
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v", err)
	}
}

// Whatever bytes come, the reader returns an answer or an error, and keeps within its bound.
func FuzzAnswers(f *testing.F) {
	data, err := os.ReadFile(filepath.Join(golden, "answers.bin"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-3])
	f.Add([]byte{255, 255, 255, 255})
	f.Add([]byte{2, 0, 0, 0, 0x81, 0xdf})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newAnswerReader(bytes.NewReader(data))
		h := handler{id: 1}
		for range 100 {
			a, err := r.next()
			if err != nil {
				return
			}
			if a.Type != "scored" {
				continue
			}
			// What a handler does with it must not fail either.
			c := &Classifier{outputs: 2}
			b := NewBag(2, 3)
			for range 3 {
				b.Add(c, nil)
			}
			b.begin(nil)
			sent := []item{{bag: b, task: 0}, {bag: b, task: 1}, {bag: b, task: 2}}
			h.frame.seq = a.Seq
			failed, err := h.check(sent, a)
			if err != nil {
				continue
			}
			at := 0
			for i, it := range sent {
				if _, bad := failed[i]; !bad {
					a.us(i)
					b.put(it.task, a, at)
					at += 2
				}
			}
		}
	})
}
