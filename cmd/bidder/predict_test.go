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

	"gavel/internal/batcher"
	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/predict"
	"gavel/internal/race"
)

// newStore has pytrain write the first version of the recipe's model.
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

// goldenRows are the rows that a version brings, and the probabilities that Python computed.
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

// TestServePredictions runs the whole command over a real model: its port gives the probabilities that Python computed,
// whoever asks beside, and is drained before the model closes.
func TestServePredictions(t *testing.T) {
	store := newStore(t)
	rows, want := goldenRows(t, filepath.Join(store, "ctr", "1"))
	dir, edge, address := t.TempDir(), freeAddress(t), freeAddress(t)
	config := filepath.Join(dir, "bidder.yaml")
	text := fmt.Sprintf("listen: %s\nadmin_listen: %s\nstate_dir: %s/state\ncampaigns: ../../configs/campaigns.yaml\n"+
		"models: {store: %s}\npredict: {listen: '%s', timeout: 10s}\n"+
		"events: {embedded_listen: %s, embedded_dir: %s/stream, token_file: %s/stream.token}\n",
		edge, freeAddress(t), dir, store, address, freeAddress(t), dir, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := &signalWriter{want: "msg=serving model=ctr", found: make(chan struct{})}
	ports := &signalWriter{want: "admin_listen=", found: make(chan struct{})}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0)) // serving raises it
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", config}, io.Discard, io.MultiWriter(log, ports))
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
	for i, row := range rows { // each alone, all at once, beside one who asks for what cannot be
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
	if status, answer, err := call("POST", "/versions/2:predict", "{}"); err != nil || status != 404 || !strings.Contains(answer, "ctr version 1") {
		t.Errorf("another version: %v, status %d, %s", err, status, answer)
	}

	client.CloseIdleConnections()
	for _, address := range []string{edge, address} { // nobody asks on these
		unused, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer unused.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("ended with %v\n%s", err, log)
	}
	rest := log.String()
	for _, part := range []string{"edge", "predict", "model ctr"} {
		var found bool
		if _, rest, found = strings.Cut(rest, "msg=stopped part="+quoted(part)+" "); !found {
			t.Fatalf("%q did not stop in its turn:\n%s", part, log)
		}
	}
}

// scoreRows answers with probabilities and the errors that predict knows.
func TestScoreRows(t *testing.T) {
	pool, err := batcher.NewPool(batcher.PoolOptions{Runners: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close(context.Background())
	queueOf := func(e *testEngine, rows int) *batcher.Queue {
		t.Helper()
		e.rowLen = 2
		queue, err := pool.NewQueue(e, batcher.QueueOptions{Name: "t", MaxRows: 4, QueueRows: rows, Policy: batcher.Eager})
		if err != nil {
			t.Fatal(err)
		}
		return queue
	}
	f := func(name string, queue *batcher.Queue, n int, deadline time.Time, wantErr error, want ...float32) {
		t.Helper()
		rows, results := make([]int32, 2*n), make([]predict.Result, n)
		for i := range n {
			rows[2*i+1] = int32(i)
		}
		started := make([]predict.Result, n)
		told := toldOf{started, make(chan error, 1)}
		startRows(queue, 2, rows, n, deadline, told)
		if err := <-told.err; !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: started, got %v, want %v", name, err, wantErr)
		}
		err := scoreRows(queue, 2, rows, deadline, results)
		if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: got %v, want %v", name, err, wantErr)
		}
		for i := range want {
			if started[i].Probability != results[i].Probability || (started[i].Err == nil) != (results[i].Err == nil) {
				t.Errorf("%s: row %d, started, is %+v, want %+v", name, i, started[i], results[i])
			}
		}
		for i, p := range want {
			if p < 0 && !errors.Is(results[i].Err, wantErr) || p >= 0 && (results[i].Err != nil || results[i].Probability != p) {
				t.Errorf("%s: row %d is %+v, want %v", name, i, results[i], p)
			}
		}
	}
	soon := time.Now().Add(time.Minute)
	sound := queueOf(&testEngine{}, 64)
	f("rows", sound, 3, soon, nil, 0, 1./8, 2./8)
	f("more rows than the stack has room for", sound, 40, soon, nil, 0, 1./8, 2./8)
	f("a refused row", queueOf(&testEngine{refuse: 1}, 64), 3, soon, predict.ErrRow, 0, -1, 2./8)
	f("too late", sound, 1, time.Now().Add(-time.Second), predict.ErrExpired)
	f("too many", queueOf(&testEngine{}, 4), 5, soon, predict.ErrShed)
	closed := queueOf(&testEngine{}, 64)
	if err := closed.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	f("closed", closed, 1, soon, predict.ErrClosed)
	broken := &testEngine{}
	queue := queueOf(broken, 64)
	broken.broken = true
	f("a broken engine", queue, 1, soon, batcher.ErrRun)

	panicking := queueOf(&testEngine{}, 64)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("rows of another size were scored")
			}
		}()
		_ = scoreRows(panicking, 2, make([]int32, 1), soon, make([]predict.Result, 2))
	}()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("rows of another size were started")
			}
		}()
		startRows(panicking, 2, make([]int32, 1), 2, soon, toldOf{})
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := panicking.Close(ctx); err != nil {
		t.Errorf("a panic before Wait leaves its places claimed: %v", err)
	}
}

func TestScoreRowsAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools drop items")
	}
	pool, err := batcher.NewPool(batcher.PoolOptions{Runners: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close(context.Background())
	queue, err := pool.NewQueue(silent{2}, batcher.QueueOptions{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	rows, results := make([]int32, 2*8), make([]predict.Result, 8)
	if n := testing.AllocsPerRun(200, func() {
		if err := scoreRows(queue, 2, rows, time.Time{}, results); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 8 rows", n)
	}
	var told predict.Receiver = toldOf{results, make(chan error, 1)}
	if n := testing.AllocsPerRun(200, func() {
		startRows(queue, 2, rows, 8, time.Time{}, told)
		if err := <-told.(toldOf).err; err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 8 rows that are started", n)
	}
}

// toldOf is a predict.Receiver that keeps what it is told.
type toldOf struct {
	results []predict.Result
	err     chan error
}

func (r toldOf) Scored(results []predict.Result, err error) {
	copy(r.results, results)
	r.err <- err
}

// silent is an engine that does nothing, without allocations.
type silent struct{ rowLen int }

func (e silent) Schema() *engine.Schema { return indices(e.rowLen) }
func (e silent) Close() error           { return nil }

func (e silent) NewBatch(capacity int) (engine.Batch, error) {
	b := newTestBatch(capacity, e.rowLen)
	return &b, nil
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
	f("predict: {listen: '127.0.0.1:8094', rows: 200}\nbatcher: {models: {ctr: {queue_rows: 150}}}", "predict.rows: 200 is more than the queue of ctr holds (150)")
	f("predict: {rows: 200}\nbatcher: {queue_rows: 150}")
}
