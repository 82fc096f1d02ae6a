package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// reviews are rows of a ported scikit-learn pipeline, and its own answers.
type reviews struct {
	Rows        []map[string]any `json:"rows"`
	Labels      []string         `json:"labels"`
	Probability [][]float64      `json:"probability"` // of the model "likely"
	Class       []string         `json:"class"`       // of the model "chosen", as decision
	Decision    [][]float64      `json:"decision"`
}

// newReviews makes a store with both models.
func newReviews(t *testing.T) (store string, r reviews) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Python")
	}
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skipf("needs %s: run make setup", python)
	}
	store = t.TempDir()
	command := exec.Command(python, "cmd/bidder/testdata/reviews.py", store)
	command.Dir = "../.."
	command.Env = append(os.Environ(), "PYTHONPATH=.")
	var faults strings.Builder
	command.Stderr = &faults
	out, err := command.Output()
	if err := errors.Join(err, json.Unmarshal(out, &r)); err != nil {
		t.Fatalf("reviews.py: %v\n%s", err, faults.String())
	}
	return store, r
}

// TestServeColumns runs the whole command with a pipeline of a text and two numbers, ported from scikit-learn. Every form of
// request returns scikit-learn's own answers.
func TestServeColumns(t *testing.T) {
	store, want := newReviews(t)
	dir, address := t.TempDir(), freeAddress(t)
	log, stop := startServing(t, fmt.Sprintf("listen: %s\nadmin_listen: %s\nnotices: {listen: ':0'}\nstate_dir: %s/state\ncampaigns: ../../configs/campaigns.yaml\n"+
		"model_store: %s\nmodels: {likely: {}, chosen: {}}\nauction: {click: likely}\nlimits: {drain_delay: 0s}\npredict: {listen: '%s', timeout: 20s}\n"+
		"events: {embedded_listen: %s, embedded_dir: %s/stream, token_file: %s/stream.token}\n",
		freeAddress(t), freeAddress(t), dir, store, address, freeAddress(t), dir, dir), "msg=serving model=likely")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	call := func(path string, body, answer any) {
		t.Helper()
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Post("http://"+address+path, "application/json", strings.NewReader(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err := errors.Join(err, json.Unmarshal(text, answer)); err != nil || response.StatusCode != 200 {
			t.Fatalf("%s: status %d, %v, %s\n%s", path, response.StatusCode, err, text, log)
		}
	}
	equal := func(path string, got, want [][]float64) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d rows, want %d", path, len(got), len(want))
		}
		for i := range want {
			for k := range want[i] {
				if len(got[i]) != len(want[i]) || math.Abs(got[i][k]-want[i][k]) > 1e-6 {
					t.Errorf("%s: row %d gets %v, scikit-learn had %v", path, i, got[i], want[i])
					break
				}
			}
		}
	}

	var byRow struct{ Predictions [][]float64 }
	call("/v1/models/likely:predict", map[string]any{"instances": want.Rows}, &byRow)
	equal("by row", byRow.Predictions, want.Probability)

	columns := map[string][]any{}
	for _, row := range want.Rows {
		for name, v := range row {
			columns[name] = append(columns[name], v)
		}
	}
	var byColumn struct{ Outputs [][]float64 }
	call("/v1/models/likely/versions/1:predict", map[string]any{"inputs": columns}, &byColumn)
	equal("by column", byColumn.Outputs, want.Probability)

	var many struct {
		Predictions struct {
			Likely [][]float64
			Chosen []struct {
				Class    string
				Decision []float64
			}
		}
	}
	for range 3 { // the later ones by both models joined
		call("/v1/models:predict", map[string]any{"models": []string{"likely", "chosen"}, "instances": want.Rows}, &many)
		equal("many", many.Predictions.Likely, want.Probability)
		decision := make([][]float64, len(want.Rows))
		for i, p := range many.Predictions.Chosen {
			if decision[i] = p.Decision; p.Class != want.Class[i] {
				t.Errorf("row %d gets class %s, scikit-learn had %s", i, p.Class, want.Class[i])
			}
		}
		equal("many", decision, want.Decision)
	}

	n := len(want.Rows)
	var tensors []map[string]any
	for name, datatype := range map[string]string{"sentence": "BYTES", "age": "FP64", "price": "FP64"} {
		tensors = append(tensors, map[string]any{"name": name, "shape": []int{n}, "datatype": datatype, "data": columns[name]})
	}
	var inferred struct {
		Outputs []struct {
			Name  string
			Shape []int
			Data  []any
		}
	}
	call("/v2/models/chosen/infer", map[string]any{"inputs": tensors, "outputs": []map[string]string{{"name": "class"}}}, &inferred)
	if o := inferred.Outputs; len(o) != 1 || o[0].Name != "class" || !slices.Equal(o[0].Shape, []int{n}) || len(o[0].Data) != n {
		t.Fatalf("/v2 answers %+v", inferred)
	}
	for i, class := range inferred.Outputs[0].Data {
		if class != want.Class[i] {
			t.Errorf("/v2: row %d gets class %v, scikit-learn had %s", i, class, want.Class[i])
		}
	}

	var told struct {
		Metadata struct {
			Columns struct{ Labels []string }
		}
	}
	response, err := client.Get("http://" + address + "/v1/models/likely/metadata")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&told); err != nil || !slices.Equal(told.Metadata.Columns.Labels, want.Labels) {
		t.Errorf("labels %v, %v; want %v", told.Metadata.Columns.Labels, err, want.Labels)
	}
	if err := stop(); err != nil {
		t.Fatalf("ended with %v\n%s", err, log)
	}
}
