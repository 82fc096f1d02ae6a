package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServeWorkers runs the whole command with a classifier that no plan can express, in a Python worker. Predictions are
// scikit-learn's own, and the processes end with the bidder.
func TestServeWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Python")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	store := t.TempDir()
	command := exec.Command(filepath.Join(root, ".venv/bin/python"), "testdata/forest.py", store)
	command.Env = append(os.Environ(), "PYTHONPATH="+root, "PYTHONDONTWRITEBYTECODE=1")
	var faults strings.Builder
	command.Stderr = &faults
	out, err := command.Output()
	var want struct {
		Rows        []map[string]any `json:"rows"`
		Probability [][]float64      `json:"probability"`
	}
	if err := errors.Join(err, json.Unmarshal(out, &want)); err != nil {
		t.Fatalf("forest.py: %v\n%s", err, faults.String())
	}
	dir, address := t.TempDir(), freeAddress(t)
	log, stop := startServing(t, fmt.Sprintf("listen: %s\nadmin_listen: %s\nnotices: {listen: ':0'}\nstate_dir: %[3]s/state\ncampaigns: ../../configs/campaigns.yaml\n"+
		"model_store: %[4]s\nmodels: {visit: {engine: workers}}\nauction: {click: visit}\npredict: {listen: '%[5]s', timeout: 9s}\n"+
		"workers: {python: %[7]s/.venv/bin/python, directory: %[7]s, count: 1, hello_timeout: 5m, answer_timeout: 1m}\n"+
		"events: {embedded_listen: %[6]s, embedded_dir: %[3]s/stream, token_file: %[3]s/stream.token}\n",
		freeAddress(t), freeAddress(t), dir, store, address, freeAddress(t), root), "msg=serving model=visit")
	body, err := json.Marshal(map[string]any{"instances": want.Rows})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var got struct{ Predictions [][]float64 }
	for end := time.Now().Add(5 * time.Minute); ; {
		response, err := client.Post("http://"+address+"/v1/models/visit:predict", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode == 200 && errors.Join(err, json.Unmarshal(text, &got)) == nil {
			break
		}
		if time.Now().After(end) { // a process that is short of processor time may need several
			t.Fatalf("status %d, %v, %s\n%s", response.StatusCode, err, text, log)
		}
	}
	if len(got.Predictions) != len(want.Rows) {
		t.Fatalf("%d rows, want %d", len(got.Predictions), len(want.Rows))
	}
	for i, row := range want.Probability {
		for k := range row {
			if len(got.Predictions[i]) != len(row) || math.Abs(got.Predictions[i][k]-row[k]) > 1e-12 {
				t.Errorf("row %d gets %v, scikit-learn had %v", i, got.Predictions[i], row)
				break
			}
		}
	}
	if err := stop(); err != nil {
		t.Fatalf("ended with %v\n%s", err, log)
	}
	if !strings.Contains(log.String(), "msg=stopped part=workers ") {
		t.Errorf("the workers did not stop\n%s", log)
	}
}
