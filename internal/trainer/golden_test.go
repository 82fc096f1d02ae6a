package trainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestGoldenAnswers reads the answers that pytrain wrote, as tests/pytrain/test_golden.py pins them.
func TestGoldenAnswers(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "tests", "golden", "answers.bin"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "tests", "golden", "answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Answers []struct {
			Type      AnswerKind
			Protocol  int
			Model     string
			RowLen    int `json:"row_len"`
			TableRows int `json:"table_rows"`
			Rows      int64
			Pos       *string
			Version   int64
			Path      string
			Metrics   map[string]*float64

			Message, Where, Remedy string
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	r := newAnswerReader(bytes.NewReader(data))
	for i, w := range want.Answers {
		got, err := r.next()
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		pos, err := posText(got.Pos)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		var wantPos string
		if w.Pos != nil {
			wantPos = *w.Pos
		}
		if got.Kind != w.Type || got.Protocol != w.Protocol || got.Model != w.Model || got.RowLen != w.RowLen ||
			got.TableRows != w.TableRows || got.Rows != w.Rows || pos != wantPos || got.Version != w.Version ||
			got.Path != w.Path || got.Message != w.Message || got.Where != w.Where || got.Remedy != w.Remedy {
			t.Errorf("answer %d is %+v at %q, want %+v", i, got, pos, w)
		}
		for name, value := range w.Metrics {
			v, ok := got.metric(name)
			if ok != (value != nil) || ok && v != *value {
				t.Errorf("answer %d: metric %s is %v, %v; want %v", i, name, v, ok, value)
			}
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v, want the end", err)
	}
}
