package predict

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"gavel/internal/auction"
	"gavel/internal/engine"
	"gavel/internal/httpd/httpdtest"
	"gavel/internal/scoring"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one goroutine a process that formats the date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// Its pool's sweeper notices the end only when it wakes, every 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// fakeModel has versions 7, the stable one, and 8. A row [a, b] gets the probability a + b/10.
type fakeModel struct {
	err   error                                                                                      // of Acquire
	score func(rows []int32, deadline time.Time, results []scoring.Result) (handled bool, err error) // nil: as above
	held  atomic.Int64                                                                               // acquired and not released

	once     sync.Once // makes versions
	versions [2]fakeVersion

	format  string         // of rows of indices; "": a SavedModel
	schema  *engine.Schema // nil: rows of two indices, and a probability
	labels  []any
	columns func(inputs []engine.Column, n int, outputs []engine.Column, errs []error) error // ScoreColumns

	quick   atomic.Int64 // Quick takes so many rows
	direct  bool         // Start takes rows,
	bad     bool         // … and panics
	started atomic.Int64 // how often it did
}

func (m *fakeModel) Acquire(number int64) (Version, error) {
	switch {
	case m.err != nil:
		return nil, m.err
	case number > 8 || number > 0 && number < 7:
		return nil, fmt.Errorf("%w: 7 and 8 do", scoring.ErrOtherVersion)
	}
	m.held.Add(1)
	m.once.Do(func() { m.versions = [2]fakeVersion{{m, 7}, {m, 8}} })
	return &m.versions[max(number, 7)-7], nil
}

func (m *fakeModel) AcquireBy(number int64, _ time.Time) (Version, error) { return m.Acquire(number) }

func (m *fakeModel) Versions() []scoring.VersionStatus {
	return []scoring.VersionStatus{
		{Version: 7, State: scoring.StateAvailable}, {Version: 9, State: scoring.StateEnd, Error: "no <golden> rows"}, {Version: 8, State: scoring.StateLoading},
	}
}

type fakeVersion struct {
	model  *fakeModel
	number int64
}

func (v *fakeVersion) Version() int64 { return v.number }
func (v *fakeVersion) Release()       { v.model.held.Add(-1) }
func (v *fakeVersion) Labels() []any  { return v.model.labels }

func (v *fakeVersion) Shape() (rowLen, tableRows int) {
	if v.model.schema != nil {
		return 0, 0
	}
	return 2, 10
}

var indexSchema = &engine.Schema{
	Inputs:  []engine.Field{{Name: "rows", Type: engine.Int32, Width: 2}},
	Outputs: []engine.Field{{Name: "probability", Type: engine.Float32, Width: 1}},
}

func (v *fakeVersion) Schema() *engine.Schema { return cmp.Or(v.model.schema, indexSchema) }

func (v *fakeVersion) Quick(n int) bool { return int64(n) <= v.model.quick.Load() }

func (v *fakeVersion) ScoreColumns(inputs []engine.Column, n int, deadline time.Time, outputs []engine.Column, errs []error) error {
	if err := errors.Join(engine.Fit(inputs, v.Schema().Inputs, n), engine.Fit(outputs, v.Schema().Outputs, n)); err != nil {
		return err
	}
	if v.model.columns != nil {
		return v.model.columns(inputs, n, outputs, errs)
	}
	results := make([]scoring.Result, n)
	err := v.Score(inputs[0].Int32, deadline, results)
	for i, r := range results {
		outputs[0].Float32[i], errs[i] = r.Probability, r.Err
	}
	return err
}

func (v *fakeVersion) ScoreCandidates(req *auction.Request, candidates []auction.Candidate, deadline time.Time, results []scoring.Result) error {
	if v.model.schema != nil {
		return scoring.ErrNoRecipe
	}
	for i := range candidates {
		c := &candidates[i]
		results[i].Probability = float32(len(c.Campaign.ID)) + float32(len(req.Impressions[c.Impression].ID))/8
	}
	return nil
}

func (v *fakeVersion) Format() string {
	if v.model.schema != nil {
		return scoring.FormatPlan
	}
	return cmp.Or(v.model.format, scoring.FormatSavedModel)
}

func (v *fakeVersion) Signature() scoring.Signature {
	if v.model.schema != nil {
		return scoring.Signature{}
	}
	return scoring.Signature{Name: "serving_default", Input: "rows", Output: "probability", InputTensor: "in:0", OutputTensor: "out:0"}
}

func (v *fakeVersion) Score(rows []int32, deadline time.Time, results []scoring.Result) error {
	if v.model.score != nil {
		if handled, err := v.model.score(rows, deadline, results); handled {
			return err
		}
	}
	for i := range results {
		results[i] = scoring.Result{Probability: float32(rows[2*i]) + float32(rows[2*i+1])/10}
	}
	return nil
}

func (v *fakeVersion) Start(rows []int32, n int, deadline time.Time, done scoring.Receiver) bool {
	if !v.model.direct {
		return false
	}
	if v.model.bad {
		panic("start")
	}
	v.model.started.Add(1)
	rows = slices.Clone(rows)
	go func() {
		results := make([]scoring.Result, n)
		done.Scored(results, v.Score(rows, deadline, results))
	}()
	return true
}

// fixed implements Models.
type fixed map[string]Model

func (f fixed) Names() []string { return slices.Sorted(maps.Keys(f)) }

func (f fixed) Find(name string) Model { return f[name] }

func (f fixed) ScoreTogether(parts []Together, n int, deadline time.Time) {
	for i := range parts {
		p := &parts[i]
		p.Err = p.Version.ScoreColumns(p.Inputs, n, deadline, p.Outputs, p.Errs)
	}
}

// startServer serves the models on a free port until the test ends.
func startServer(t testing.TB, models map[string]Model, o Options) (*Server, *http.Client) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Registerer = prometheus.NewRegistry()
	s, err := NewServer(fixed(models), o)
	if err != nil {
		t.Fatal(err)
	}
	address := httpdtest.Serve(t, s)
	transport := &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return s, &http.Client{Transport: transport}
}

// ask sends "METHOD /path" with a body and headers.
func ask(t testing.TB, client *http.Client, request, body string, headers ...string) (status int, answer string) {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	req, err := http.NewRequest(method, "http://predict"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: Content-Type %q", request, got)
	}
	return resp.StatusCode, string(data)
}

func counted(t testing.TB, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

const one = `{"instances":[[1,2]]}`

func TestAnswers(t *testing.T) {
	t.Run("by workers", func(t *testing.T) { testAnswers(t, &fakeModel{}) })
	t.Run("on the loop", func(t *testing.T) {
		m := &fakeModel{direct: true}
		testAnswers(t, m)
		// The answered ones, less those with a version, an escape or a header. A worker takes some of them at times: where
		// there may be more to read.
		if n := m.started.Load(); n < 1 || n > 3 {
			t.Errorf("%d were started on the loop, want 1 to 3", n)
		}
	})
}

func testAnswers(t *testing.T, m *fakeModel) {
	away := &fakeModel{err: fmt.Errorf("%w: really", scoring.ErrNoVersion)}
	s, client := startServer(t, map[string]Model{"ctr": m, "cvr": away}, Options{MaxRows: 3, MaxBody: 200})
	f := func(name, request, body string, wantStatus int, want string, headers ...string) {
		t.Helper()
		status, got := ask(t, client, request, body, headers...)
		if wantStatus != 200 { // want is a part of the error's text
			var failure struct {
				Error string `json:"error"`
			}
			if err := json.Unmarshal([]byte(got), &failure); err != nil {
				t.Errorf("%s: %v in %s", name, err, got)
			}
			if status != wantStatus || !strings.Contains(failure.Error, want) {
				t.Errorf("%s: status %d, %s; want %d, %s", name, status, got, wantStatus, want)
			}
		} else if status != 200 || got != want {
			t.Errorf("%s: status %d, %s; want %d, %s", name, status, got, wantStatus, want)
		}
	}
	const p = "POST /v1/models/ctr:predict"
	f("a row", p, one, 200, `{"predictions":[1.2]}`)
	f("rows", p, `{"instances":[[1,2],{"rows":[3,4]},[0,0]]}`, 200, `{"predictions":[1.2,3.4,0.0]}`)
	f("columns", p, `{"inputs":{"rows":[[1,2],[3,0]]},"signature_name":"serving_default"}`, 200, `{"outputs":[1.2,3.0]}`)
	f("a version", "POST /v1/models/ctr/versions/8:predict", one, 200, `{"predictions":[1.2]}`)
	f("escaped", "POST /v1/models/ctr%3Apredict?x=1", one, 200, `{"predictions":[1.2]}`)
	f("a header in time", p, one, 200, `{"predictions":[1.2]}`, "x-timeout-ms", "60000")
	f("plain", p, one, 200, `{"predictions":[1.2]}`, "Content-Encoding", "identity", "Content-Type", "text/plain")

	f("bad rows", p, `{"instances":[[1,2],[1],[1,11]]}`, 400,
		"2 of 3 rows are refused (rows and indices are numbered from 0): row 1 has 1 indices, the model needs 2; index 1 of row 2 is 11, not in [0, 10)")
	f("no JSON", p, "instances", 400, "the body has 'i' where { is expected, at byte 0")
	f("no body", p, "", 400, "the body ends where { is expected")
	f("another signature", p, `{"signature_name":"a<b>","instances":[[1,2]]}`, 400, `signature_name is "a<b>"; the model has only "serving_default"`)
	f("no time", p, one, 400, `X-Timeout-Ms is "0"; send whole milliseconds, 1 to 60000`, "X-Timeout-Ms", "0")
	f("a unit", p, one, 400, `X-Timeout-Ms is "1s"`, "X-Timeout-Ms", "1s")
	f("compressed", p, one, 400, "not gzip", "Content-Encoding", "gzip")
	f("as gzip", p, string(gzipped(one)), 200, `{"predictions":[1.2]}`, "Content-Encoding", "gzip")
	f("as a bomb", p, string(gzipped(strings.Repeat(" ", 100_000))), 413, "inflates to more than", "Content-Encoding", "gzip")
	f("compressed otherwise", p, one, 400, `content encoding "br"; send it as gzip or without`, "Content-Encoding", "br")
	f("too many rows", p, `{"instances":[[1,2],[1,2],[1,2],[1,2]]}`, 413, "more than 3 rows")
	f("too large", p, strings.Repeat(" ", 201), 413, "larger than 200 bytes")
	f("by GET", "GET /v1/models/ctr:predict", "", 405, "use POST")
	f("another model", "POST /v1/models/x:predict", one, 404, `model "x" is unknown; the models are: ctr, cvr`)
	f("another version", "POST /v1/models/ctr/versions/5:predict", one, 404, "7 and 8 do")
	f("version latest", "POST /v1/models/ctr/versions/latest:predict", one, 400, `version "latest" is not a number`)
	f("version 0", "POST /v1/models/ctr/versions/0:predict", one, 404, `version "0"`)
	f("no version yet", "POST /v1/models/cvr:predict", one, 503, "no version of the model is loaded: really")
	f("another verb", "POST /v1/models/ctr:classify", one, 400, "use :predict")
	f("and another", "POST /v1/models/ctr/versions/7:regress", one, 400, "use :predict")
	f("status of no number", "GET /v1/models/ctr/versions/x", "", 400, `version "x" is not a number`)
	f("metadata of no number", "GET /v1/models/ctr/versions/x/metadata", "", 400, `version "x" is not a number`)
	f("another path", "POST /predict", one, 404, "/v1/models/{model}")

	status := func(number, state, code, message string) string {
		return fmt.Sprintf(`{"version":"%s","state":"%s","status":{"error_code":"%s","error_message":"%s"}}`, number, state, code, message)
	}
	f("status", "GET /v1/models/ctr", "", 200, `{"model_version_status":[`+
		status("9", "END", "FAILED_PRECONDITION", `no \u003cgolden\u003e rows`)+","+
		status("8", "LOADING", "OK", "")+","+status("7", "AVAILABLE", "OK", "")+"]}")
	f("status of a version", "GET /v1/models/ctr/versions/7", "", 200, `{"model_version_status":[`+status("7", "AVAILABLE", "OK", "")+"]}")
	f("status of none", "GET /v1/models/ctr/versions/6", "", 404, "model ctr has no version 6")
	f("status of no model", "GET /v1/models/", "", 404, `model "" is unknown`)
	f("metadata of no version", "GET /v1/models/cvr/metadata", "", 503, "no version of the model is loaded")
	f("metadata posted", "POST /v1/models/ctr/metadata", "", 405, "use GET")

	if n := m.held.Load(); n != 0 {
		t.Errorf("%d versions are held after the last answer", n)
	}
	if n := counted(t, s.metrics.requests[outcomeInvalid]); n != 9 {
		t.Errorf("%v invalid requests counted, want 9", n)
	}
	if n := counted(t, s.metrics.rows); n != 11 {
		t.Errorf("%v rows counted, want 11", n)
	}
}

// The metadata equals TensorFlow Serving's for such a model.
func TestMetadata(t *testing.T) {
	_, client := startServer(t, map[string]Model{"ctr": &fakeModel{}}, Options{})
	for path, version := range map[string]string{"/metadata": "7", "/versions/8/metadata": "8"} {
		_, got := ask(t, client, "GET /v1/models/ctr"+path, "")
		want := `{"model_spec": {"name": "ctr", "signature_name": "", "version": "` + version + `"},
			"metadata": {"signature_def": {"signature_def": {"serving_default": {
				"inputs": {"rows": {"dtype": "DT_INT32", "name": "in:0", "tensor_shape": {
					"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": false}}},
				"outputs": {"probability": {"dtype": "DT_FLOAT", "name": "out:0", "tensor_shape": {
					"dim": [{"size": "-1", "name": ""}], "unknown_rank": false}}},
				"method_name": "tensorflow/serving/predict"}}}}}`
		var a, b any
		if err := errors.Join(json.Unmarshal([]byte(got), &a), json.Unmarshal([]byte(want), &b)); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %v\ngot  %s\nwant %s", path, err, got, want)
		}
	}
}

// Every error of a version has its status and does not affect the next request.
func TestScoreErrors(t *testing.T) {
	t.Run("by workers", func(t *testing.T) { testScoreErrors(t, &fakeModel{}) })
	t.Run("on the loop", func(t *testing.T) { testScoreErrors(t, &fakeModel{direct: true}) })
}

func testScoreErrors(t *testing.T, m *fakeModel) {
	s, client := startServer(t, map[string]Model{"ctr": m}, Options{})
	f := func(name string, score func([]int32, time.Time, []scoring.Result) (bool, error), wantStatus int, want string, o outcome) {
		t.Helper()
		m.score = score
		before := counted(t, s.metrics.requests[o])
		status, got := ask(t, client, "POST /v1/models/ctr:predict", `{"instances":[[1,2],[3,4]]}`)
		if status != wantStatus || !strings.Contains(got, want) || counted(t, s.metrics.requests[o]) != before+1 {
			t.Errorf("%s: status %d, %s; want %d, %s, counted as %s", name, status, got, wantStatus, want, outcomeNames[o])
		}
		m.score = nil
		if status, got := ask(t, client, "POST /v1/models/ctr:predict", one); status != 200 || got != `{"predictions":[1.2]}` {
			t.Errorf("after %s: status %d, %s", name, status, got)
		}
		if n := m.held.Load(); n != 0 {
			t.Errorf("%s: %d versions held", name, n)
		}
	}
	fail := func(err error) func([]int32, time.Time, []scoring.Result) (bool, error) {
		return func(_ []int32, _ time.Time, results []scoring.Result) (bool, error) {
			for i := range results {
				results[i].Err = err
			}
			return true, err
		}
	}
	f("shed", fail(fmt.Errorf("%w: full", scoring.ErrShed)), 429, "shed: full", outcomeShed)
	f("expired", fail(scoring.ErrExpired), 504, "deadline", outcomeExpired)
	f("closed", fail(scoring.ErrClosed), 503, "closed", outcomeUnavailable)
	f("broken", fail(errors.New("the engine failed")), 500, "the engine failed", outcomeFailed)
	f("a row", func(_ []int32, _ time.Time, results []scoring.Result) (bool, error) {
		results[1].Err = fmt.Errorf("%w: NaN", scoring.ErrRow)
		return true, results[1].Err
	}, 400, "1 of 2 rows are refused (rows are numbered from 0); row 1: batcher: the engine refuses this row: NaN", outcomeInvalid)
	if m.direct { // the goroutine that scores them does not panic
		return
	}
	f("a panic", func([]int32, time.Time, []scoring.Result) (bool, error) { panic("oh") }, 500, "internal error", outcomeFailed)
	if counted(t, s.metrics.panics) != 1 {
		t.Error("the panic is not counted")
	}
}

// The deadline is the configured one, or the request's own.
func TestDeadline(t *testing.T) {
	m := &fakeModel{direct: true}
	var left time.Duration
	m.score = func(_ []int32, deadline time.Time, _ []scoring.Result) (bool, error) {
		left = time.Until(deadline)
		return false, nil
	}
	_, client := startServer(t, map[string]Model{"ctr": m}, Options{Timeout: 30 * time.Second})
	f := func(name string, most time.Duration, headers ...string) {
		t.Helper()
		ask(t, client, "POST /v1/models/ctr:predict", one, headers...)
		if left > most || left < most-15*time.Second {
			t.Errorf("%s: %v left, want nearly %v", name, left, most)
		}
	}
	f("configured", 30*time.Second)
	f("named", 50*time.Second, "X-Timeout-Ms", "50000")
}

func TestOptionsFaults(t *testing.T) {
	_, err := NewServer(nil, Options{Timeout: time.Hour, MaxBody: -1, MaxRows: -1, MaxConnections: -1, ReadTimeout: -1})
	for _, want := range []string{"timeout 1h", "max body", "max rows", "max connections", "timeouts must", "a logger is required", "registerer", "models are required"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in %v", want, err)
		}
	}
}

// Numbers read back as the same float32, and are written as floats.
func TestAppendFloat(t *testing.T) {
	f := func(p float32, want string) {
		t.Helper()
		got := string(appendFloat(nil, p))
		back, err := strconv.ParseFloat(got, 32)
		if got != want || err != nil || float32(back) != p || !json.Valid([]byte(got)) {
			t.Errorf("%v: got %s, which reads %v, %v; want %s", p, got, back, err, want)
		}
	}
	f(0, "0.0")
	f(1, "1.0")
	f(0.5, "0.5")
	f(0.1, "0.1")
	f(1.0/3, "0.33333334")
	f(math.Nextafter32(1, 0), "0.99999994")
	f(1.25e-9, "1.25e-09")
	f(math.SmallestNonzeroFloat32, "1e-45")
}
