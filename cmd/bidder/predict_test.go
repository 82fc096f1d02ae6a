package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/models"
)

// newStore returns a store with a first version of model ctr, which pytrain wrote.
func newStore(t *testing.T) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts TensorFlow")
	}
	python, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skipf("needs %s: run make setup", python)
	}
	dir = t.TempDir()
	command := exec.Command(python, "-m", "pytrain", "init", "--recipe", "models/ctr/recipe.yaml", "--store", dir)
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("pytrain: %v\n%s", err, out)
	}
	return dir
}

// goldenRows returns the golden rows of a version, and the probabilities that Python computed.
func goldenRows(t *testing.T, version string) (rows [][]int32, want []float32) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(version, models.GoldenFile))
	if err != nil {
		t.Fatal(err)
	}
	var wire struct {
		N int    `msgpack:"n"`
		F int    `msgpack:"f"`
		X []byte `msgpack:"x"`
		P []byte `msgpack:"p"`
	}
	if err := msgpack.Unmarshal(data, &wire); err != nil {
		t.Fatal(err)
	}
	for i := range wire.N {
		row := make([]int32, wire.F)
		for j := range row {
			row[j] = int32(binary.LittleEndian.Uint32(wire.X[4*(i*wire.F+j):]))
		}
		rows = append(rows, row)
		want = append(want, math.Float32frombits(binary.LittleEndian.Uint32(wire.P[4*i:])))
	}
	return rows, want
}

// startServing runs the whole command with a configuration, until its log has what is wanted and its ports are open. stop ends
// it; the test must call it.
func startServing(t *testing.T, config, want string) (log *signalWriter, stop func() error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bidder.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log = &signalWriter{want: want, found: make(chan struct{})}
	ports := &signalWriter{want: "admin_listen=", found: make(chan struct{})}
	processors := runtime.GOMAXPROCS(0) // serving raises it
	t.Cleanup(func() {
		cancel()
		runtime.GOMAXPROCS(processors)
	})
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", path}, io.Discard, io.MultiWriter(log, ports))
	}()
	for _, begun := range []chan struct{}{log.found, ports.found} {
		select {
		case <-begun:
		case err := <-ended:
			t.Fatalf("ended: %v\n%s", err, log)
		case <-time.After(time.Minute):
			t.Fatalf("not serving after a minute\n%s", log)
		}
	}
	return log, func() error {
		cancel()
		return <-ended
	}
}

// TestServePredictions runs the whole command with a real model. The port returns the probabilities that Python computed,
// also while other requests fail. On the stop, the port is drained before the model closes.
func TestServePredictions(t *testing.T) {
	store := newStore(t)
	rows, want := goldenRows(t, filepath.Join(store, "ctr", "1"))
	dir, edge, address := t.TempDir(), freeAddress(t), freeAddress(t)
	text := fmt.Sprintf("listen: %s\nadmin_listen: %s\nnotices: {listen: ':0'}\nstate_dir: %s/state\ncampaigns: ../../configs/campaigns.yaml\n"+
		"model_store: %s\nlimits: {drain_delay: 0s}\npredict: {listen: '%s', timeout: 10s}\n"+
		"events: {embedded_listen: %s, embedded_dir: %s/stream, token_file: %s/stream.token}\n",
		edge, freeAddress(t), dir, store, address, freeAddress(t), dir, dir)
	log, stop := startServing(t, text, "msg=serving model=ctr")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	call := func(method, path, body string) (int, string, error) {
		request, err := http.NewRequest(method, "http://"+address+"/v1/models/ctr"+path, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		response, err := client.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		return response.StatusCode, string(answer), err
	}
	if _, answer, err := call("GET", "", ""); err != nil || !strings.Contains(answer, `"AVAILABLE"`) {
		t.Fatalf("the model does not serve: %v, %s\n%s", err, answer, log)
	}
	check := func(key, path string, rows [][]int32, want []float32) error {
		body, err := json.Marshal(map[string]any{key: rows})
		if err != nil {
			return err
		}
		status, answer, err := call("POST", path+":predict", string(body))
		if err != nil || status != 200 {
			return errors.Join(err, fmt.Errorf("status %d: %s", status, answer))
		}
		var got struct{ Predictions, Outputs []float32 }
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			return err
		}
		all := append(got.Predictions, got.Outputs...)
		if len(all) != len(want) {
			return fmt.Errorf("%d predictions for %d rows: %s", len(all), len(want), answer)
		}
		for i, p := range all {
			if math.Abs(float64(p)-float64(want[i])) > 1e-6 {
				return fmt.Errorf("row %d gets %v, Python had %v", i, p, want[i])
			}
		}
		return nil
	}
	if err := errors.Join(check("instances", "", rows, want), check("inputs", "/versions/1", rows, want)); err != nil {
		t.Error(err)
	}
	bad := append([]int32(nil), rows[0]...)
	bad[1] = math.MaxInt32
	badBody, err := json.Marshal(map[string]any{"instances": [][]int32{rows[0], bad}})
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i, row := range rows { // one row a request, all at once, each beside a request that must fail
		callers.Go(func() {
			if err := check("instances", "", [][]int32{row}, want[i:i+1]); err != nil {
				t.Errorf("golden row %d alone: %v", i, err)
			}
			if status, answer, err := call("POST", ":predict", string(badBody)); err != nil || status != 400 ||
				!strings.Contains(answer, "index 1 of row 1 is 2147483647, not in [0, ") {
				t.Errorf("a bad row: %v, status %d, %s", err, status, answer)
			}
		})
	}
	callers.Wait()
	if status, answer, err := call("GET", "/metadata", ""); err != nil || status != 200 ||
		!strings.Contains(answer, fmt.Sprintf(`{"size":"-1","name":""},{"size":"%d","name":""}`, len(rows[0]))) {
		t.Errorf("metadata: %v, status %d, %s", err, status, answer)
	}
	if status, answer, err := call("POST", ":score", `{"request":{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}]},
		"candidates":[{"imp":"1","campaign":"shoes-everywhere"},{"imp":"1","campaign":"shoes-everywhere","creative":"stride-728x90"}]}`); err != nil ||
		status != 200 || strings.Count(answer, "0.") != 2 {
		t.Errorf("candidates: %v, status %d, %s", err, status, answer)
	}
	if status, answer, err := call("POST", ":score", `{"request":{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}]},"candidates":[{"imp":"1","campaign":"x"}]}`); err != nil ||
		status != 400 || !strings.Contains(answer, `there is no campaign \"x\"`) {
		t.Errorf("an unknown campaign: %v, status %d, %s", err, status, answer)
	}
	if status, answer, err := call("POST", "/versions/2:predict", "{}"); err != nil || status != 404 || !strings.Contains(answer, "ctr version 1") {
		t.Errorf("an absent version: %v, status %d, %s", err, status, answer)
	}

	client.CloseIdleConnections()
	for _, address := range []string{edge, address} { // no request comes on these connections
		unused, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer unused.Close()
	}
	if err := stop(); err != nil {
		t.Fatalf("ended with %v\n%s", err, log)
	}
	rest := log.String()
	for _, part := range []string{"edge", "predict", "models"} {
		var found bool
		if _, rest, found = strings.Cut(rest, "msg=stopped part="+quoted(part)+" "); !found {
			t.Fatalf("%q did not stop in this order:\n%s", part, log)
		}
	}
}

func TestPredictConfigFaults(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := load(t, text)
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if len(lines) != len(want) {
			t.Errorf("%s: %d faults, want %d: %v", text, len(lines), len(want), err)
		}
		for _, w := range want {
			if !strings.Contains(fmt.Sprint(err), "b.yaml: "+w) {
				t.Errorf("%s: no fault %q in %v", text, w, err)
			}
		}
	}
	f("predict: {listen: localhost, timeout: 2m, body_bytes: 0, rows: -1, connections: 0}",
		`predict.listen: "localhost"`, "predict.timeout: 2m0s must be 1ms to 1m0s", "predict.body_bytes: ", "predict.rows: ", "predict.connections: ")
	f("predict: {listen: '127.0.0.1:8094', rows: 200}\nbatcher: {queue_rows: 150}", "predict.rows: 200 is more than the queue of ctr holds (150)")
	f("predict: {listen: '127.0.0.1:8094', rows: 200}\nmodels: {ctr: {queue_rows: 150}}", "predict.rows: 200 is more than the queue of ctr holds (150)")
	f("predict: {rows: 200}\nbatcher: {queue_rows: 150}")
}
