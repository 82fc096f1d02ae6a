package predict

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/engine"
	"gavel/internal/race"
	"gavel/internal/scoring"
)

// reviews is a classifier of a text and a number. Its probability of "yes" is the text's length / 10; where that is above
// 0.5, the class is "yes". A text "refuse" is refused.
func reviews(labels ...any) *fakeModel {
	m := &fakeModel{labels: labels, schema: &engine.Schema{
		Inputs: []engine.Field{{Name: "sentence", Type: engine.Text, Width: 1}, {Name: "age", Type: engine.Float64, Width: 1}},
		Outputs: []engine.Field{
			{Name: "probability", Type: engine.Float64, Width: 2}, {Name: "class", Type: engine.Float64, Width: 1}, {Name: "age", Type: engine.Float32, Width: 1},
		},
	}}
	m.columns = func(inputs []engine.Column, n int, outputs []engine.Column, errs []error) (err error) {
		for i := range n {
			if inputs[0].Text[i] == "refuse" {
				errs[i] = fmt.Errorf("%w: unknown word", scoring.ErrRow)
				err = errs[i]
			}
			p := float64(len(inputs[0].Text[i])) / 10
			outputs[0].Float64[2*i], outputs[0].Float64[2*i+1] = 1-p, p
			outputs[1].Float64[i] = 0
			if p > 0.5 {
				outputs[1].Float64[i] = 1
			}
			outputs[2].Float32[i] = float32(inputs[1].Float64[i])
		}
		return err
	}
	return m
}

// value is a regression of one text: its length.
func value() *fakeModel {
	m := &fakeModel{schema: oneText}
	m.columns = func(inputs []engine.Column, n int, outputs []engine.Column, _ []error) error {
		for i := range n {
			switch s := inputs[0].Text[i]; s {
			case "infinite":
				outputs[0].Float64[i] = math.Inf(1)
			case missingText:
				outputs[0].Float64[i] = math.NaN()
			default:
				outputs[0].Float64[i] = float64(len(s))
			}
		}
		return nil
	}
	return m
}

// Rows of a quick model are scored on the event loop, unless there is a fault in them.
func TestDirectColumns(t *testing.T) {
	m := value()
	scored, onLoop := m.columns, false
	m.columns = func(inputs []engine.Column, n int, outputs []engine.Column, errs []error) error {
		stack := make([]byte, 16<<10)
		if strings.Contains(string(stack[:runtime.Stack(stack, false)]), "startColumns") {
			onLoop = true
			if inputs[0].Text[0] == "panic" {
				panic("oh")
			}
		}
		return scored(inputs, n, outputs, errs)
	}
	s, client := startServer(t, map[string]Model{"length": m}, Options{})
	f := func(name string, quick int64, body string, wantLoop bool, wantStatus int, want string) {
		t.Helper()
		m.quick.Store(quick)
		onLoop = false
		for range 20 { // a worker that had the connection may read this request too
			if ask(t, client, "POST /v1/models/length:predict", body); onLoop || !wantLoop {
				break
			}
		}
		if status, got := ask(t, client, "POST /v1/models/length:predict", body); status != wantStatus || !strings.Contains(got, want) || onLoop != wantLoop {
			t.Errorf("%s: status %d, %s, on the loop %v; want %d, %s, %v", name, status, got, onLoop, wantStatus, want, wantLoop)
		}
		if n := m.held.Load(); n != 0 {
			t.Errorf("%s: %d versions held", name, n)
		}
	}
	f("slow", 0, `{"instances":["abc"]}`, false, 200, "[3.0]")
	f("quick", 1, `{"instances":["abc"]}`, true, 200, "[3.0]")
	f("too many rows", 1, `{"instances":["abc","a"]}`, false, 200, "[3.0,1.0]")
	f("a bad row", 1, `{"instances":[1]}`, false, 400, "row 0")
	f("an infinite output", 1, `{"instances":["infinite"]}`, true, 500, "JSON cannot hold")
	f("a panic", 1, `{"instances":["panic"]}`, true, 200, "[5.0]")
	if n := counted(t, s.metrics.panics); n < 1 {
		t.Errorf("%v panics counted, want some", n)
	}
}

// expectations checks answers: as they are if the status is 200, else a part of the error.
func expectations(t *testing.T, client *http.Client) func(name, request, body string, wantStatus int, want string, headers ...string) {
	return func(name, request, body string, wantStatus int, want string, headers ...string) {
		t.Helper()
		status, got := ask(t, client, request, body, headers...)
		if status != wantStatus || status == 200 && got != want || status != 200 && !strings.Contains(got, want) || !json.Valid([]byte(got)) {
			t.Errorf("%s: status %d\ngot  %s\nwant %d\n     %s", name, status, got, wantStatus, want)
		}
	}
}

func TestColumns(t *testing.T) {
	t.Run("by workers", func(t *testing.T) { testColumns(t, reviews("no", `y"es`)) })
	t.Run("on the loop", func(t *testing.T) {
		m := reviews("no", `y"es`)
		m.quick.Store(2)
		testColumns(t, m)
	})
}

func testColumns(t *testing.T, m *fakeModel) {
	s, client := startServer(t, map[string]Model{"reviews": m, "ints": reviews(int64(-1), int64(7)), "length": value()}, Options{MaxRows: 3})
	f := expectations(t, client)
	const p = "POST /v1/models/reviews:predict"
	f("rows", p, `{"instances":[{"sentence":"good","age":31},{"age":null,"sentence":"better\n"}]}`, 200,
		`{"predictions":[{"probability":[0.6,0.4],"class":"no","age":31.0},{"probability":[0.30000000000000004,0.7],"class":"y\"es","age":null}]}`)
	f("columns", p, `{"inputs":{"sentence":["good","better."],"age":[31,0.1]}}`, 200,
		`{"outputs":{"probability":[[0.6,0.4],[0.30000000000000004,0.7]],"class":["no","y\"es"],"age":[31.0,0.1]}}`)
	f("labels that are numbers", "POST /v1/models/ints/versions/8:predict", `{"instances":[{"sentence":"good","age":1}]}`, 200,
		`{"predictions":[{"probability":[0.6,0.4],"class":-1,"age":1.0}]}`)
	f("one output", "POST /v1/models/length:predict", `{"instances":["abc",{"text":""},null]}`, 200, `{"predictions":[3.0,0.0,null]}`)
	f("one output by column", "POST /v1/models/length:predict", `{"inputs":["abc",""]}`, 200, `{"outputs":[3.0,0.0]}`)

	f("bad rows", p, `{"instances":[{"sentence":1,"age":31},{"sentence":"a"}]}`, 400, `2 of 2 rows are refused (rows are numbered from 0): `+
		`row 0, column \"sentence\": 1 is given; a text or null is accepted; row 1, column \"age\" is missing`)
	f("refused by the model", p, `{"inputs":{"sentence":["a","refuse"],"age":[1,2]}}`, 400, "1 of 2 rows are refused (rows are numbered from 0); row 1: batcher: the engine refuses this row: unknown word")
	f("too many rows", p, `{"inputs":{"sentence":["a","b","c","d"]}}`, 413, "more than 3 rows")
	f("an infinite output", "POST /v1/models/length:predict", `{"instances":["infinite"]}`, 500, "JSON cannot hold")
	f("indices", p, one, 400, `row 0, [1,2] is given; an object is accepted`)

	m.columns = func(_ []engine.Column, n int, _ []engine.Column, errs []error) error { return scoring.ErrExpired }
	f("too late", p, `{"instances":[{"sentence":"good","age":31}]}`, 504, "deadline")
	if n := m.held.Load(); n != 0 {
		t.Errorf("%d versions are held after the last answer", n)
	}
	if n := counted(t, s.metrics.rows); n != 10 {
		t.Errorf("%v rows counted, want 10", n)
	}
}

func TestColumnsMetadata(t *testing.T) {
	_, client := startServer(t, map[string]Model{"reviews": reviews("no", "yes")}, Options{})
	_, got := ask(t, client, "GET /v1/models/reviews/metadata", "")
	want := `{"model_spec": {"name": "reviews", "signature_name": "", "version": "7"}, "metadata": {
		"signature_def": {"signature_def": {"serving_default": {
			"inputs": {
				"sentence": {"dtype": "DT_STRING", "name": "sentence", "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": false}},
				"age": {"dtype": "DT_DOUBLE", "name": "age", "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": false}}},
			"outputs": {
				"probability": {"dtype": "DT_DOUBLE", "name": "probability", "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": false}},
				"class": {"dtype": "DT_STRING", "name": "class", "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": false}},
				"age": {"dtype": "DT_FLOAT", "name": "age", "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": false}}},
			"method_name": "tensorflow/serving/predict"}}},
		"columns": {
			"inputs": [{"name": "sentence", "type": "text", "width": 1, "missing": true}, {"name": "age", "type": "float64", "width": 1, "missing": true}],
			"outputs": [{"name": "probability", "type": "float64", "width": 2}, {"name": "class", "type": "text", "width": 1}, {"name": "age", "type": "float32", "width": 1}],
			"labels": ["no", "yes"]}}}`
	var a, b any
	if err := errors.Join(json.Unmarshal([]byte(got), &a), json.Unmarshal([]byte(want), &b)); err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

func TestV2(t *testing.T) {
	m, away := reviews("no", "yes"), &fakeModel{err: scoring.ErrNoVersion}
	models := map[string]Model{"reviews": m, "ctr": &fakeModel{}, "length": value(), "planned": &fakeModel{format: scoring.FormatPlan}}
	_, client := startServer(t, models, Options{MaxRows: 3, Version: "0.9"})
	f := expectations(t, client)
	f("the models", "GET /v1/models", "", 200, `{"models":["ctr","length","planned","reviews"]}`)
	f("the server", "GET /v2", "", 200, `{"name":"gavel","version":"0.9","extensions":["binary_tensor_data"]}`)
	f("live", "GET /v2/health/live", "", 200, `{"live":true}`)
	f("ready", "GET /v2/health/ready", "", 200, `{"ready":true}`)
	f("a model", "GET /v2/models/reviews", "", 200, `{"name":"reviews","versions":["7"],"platform":"gavel_plan",`+
		`"inputs":[{"name":"sentence","datatype":"BYTES","shape":[-1]},{"name":"age","datatype":"FP64","shape":[-1]}],`+
		`"outputs":[{"name":"probability","datatype":"FP64","shape":[-1,2]},{"name":"class","datatype":"BYTES","shape":[-1]},{"name":"age","datatype":"FP32","shape":[-1]}],`+
		`"labels":["no","yes"]}`)
	f("a model of indices", "GET /v2/models/ctr/versions/8", "", 200, `{"name":"ctr","versions":["7"],"platform":"tensorflow_savedmodel",`+
		`"inputs":[{"name":"rows","datatype":"INT32","shape":[-1,2]}],"outputs":[{"name":"probability","datatype":"FP32","shape":[-1]}]}`)
	f("a model that has a SavedModel too", "GET /v2/models/planned", "", 200, `{"name":"planned","versions":["7"],"platform":"gavel_plan",`+
		`"inputs":[{"name":"rows","datatype":"INT32","shape":[-1,2]}],"outputs":[{"name":"probability","datatype":"FP32","shape":[-1]}]}`)
	f("its metadata, by the plan's names", "GET /v1/models/planned/metadata", "", 200, `{"model_spec":{"name":"planned","signature_name":"","version":"7"},`+
		`"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"rows":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"2","name":""}],"unknown_rank":false},"name":"rows"}},`+
		`"outputs":{"probability":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""}],"unknown_rank":false},"name":"probability"}},"method_name":"tensorflow/serving/predict"}}},`+
		`"columns":{"inputs":[{"name":"rows","type":"int32","width":2,"missing":false}],"outputs":[{"name":"probability","type":"float32","width":1}]}}}`)
	f("a model is ready", "GET /v2/models/reviews/ready", "", 200, `{"name":"reviews","ready":true}`)
	f("a version is ready", "GET /v2/models/reviews/versions/8/ready", "", 200, `{"name":"reviews","ready":true}`)
	f("a version is not", "GET /v2/models/reviews/versions/9/ready", "", 503, `{"name":"reviews","ready":false}`)
	f("no model", "GET /v2/models/x", "", 404, `{"error":"model \"x\" is unknown`)
	f("no path", "GET /v2/repository", "", 404, "/health/live")
	f("no such path", "GET /v2x", "", 404, "/v1/models/")
	f("posted", "POST /v2/models/reviews", "", 405, "use GET")
	f("got", "GET /v2/models/reviews/infer", "", 405, "use POST")

	const p = "POST /v2/models/reviews/infer"
	both := `"inputs":[{"name":"sentence","shape":[2],"datatype":"BYTES","data":["good","better."]},{"name":"age","shape":[2,1],"datatype":"INT64","data":[31,7]}]}`
	f("an inference", p, `{"id":"4\u0032",`+both, 200, `{"model_name":"reviews","model_version":"7","id":"4\u0032","outputs":[`+
		`{"name":"probability","shape":[2,2],"datatype":"FP64","data":[0.6,0.4,0.30000000000000004,0.7]},`+
		`{"name":"class","shape":[2],"datatype":"BYTES","data":["no","yes"]},{"name":"age","shape":[2],"datatype":"FP32","data":[31.0,7.0]}]}`)
	f("some outputs", "POST /v2/models/reviews/versions/8/infer", `{"outputs":[{"name":"class"}],`+both, 200,
		`{"model_name":"reviews","model_version":"8","outputs":[{"name":"class","shape":[2],"datatype":"BYTES","data":["no","yes"]}]}`)
	f("indices", "POST /v2/models/ctr/infer", `{"inputs":[{"name":"rows","shape":[2,2],"datatype":"INT32","data":[[1,2],[3,4]]}]}`, 200,
		`{"model_name":"ctr","model_version":"7","outputs":[{"name":"probability","shape":[2],"datatype":"FP32","data":[1.2,3.4]}]}`)
	f("a bad row", p, strings.Replace(`{`+both, `"good"`, "1", 1), 400, `row 0, column \"sentence\": 1 is given; a text or null is accepted`)
	f("a bad length", p, `{`+both, 400, binaryName+` is \"9000\"`, binaryName, "9000")
	f("no model's inference", "POST /v2/models/x/infer", `{`+both, 404, "unknown")

	models["away"] = away // models come and go
	f("not ready", "GET /v2/health/ready", "", 503, `{"ready":false}`)
	f("a model without version", "GET /v2/models/away", "", 503, "no version")
	if n := m.held.Load(); n != 0 {
		t.Errorf("%d versions are held after the last answer", n)
	}
}

// Outputs in binary follow the JSON, whose length a header tells.
func TestV2Binary(t *testing.T) {
	_, client := startServer(t, map[string]Model{"reviews": reviews("no", "yes"), "ints": reviews(int64(-1), int64(7))}, Options{})
	f := func(model, outputs, wantJSON, wantTail string) {
		t.Helper()
		body := `{` + outputs + `"inputs":[{"name":"sentence","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":11}},{"name":"age","shape":[1],"datatype":"FP64","data":[1]}]}`
		request, err := http.NewRequest("POST", "http://predict/v2/models/"+model+"/infer", strings.NewReader(body+"\x07\x00\x00\x00better."))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(binaryName, fmt.Sprint(len(body)))
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var length int
		if h := response.Header.Get(binaryName); h == "" {
			length = len(answer)
		} else if _, err := fmt.Sscan(h, &length); err != nil || length > len(answer) {
			t.Fatalf("%s is %q for %d bytes", binaryName, h, len(answer))
		}
		if got := string(answer[:length]); got != wantJSON || string(answer[length:]) != wantTail {
			t.Errorf("%s %s: got\n%s and %q, want\n%s and %q", model, outputs, got, answer[length:], wantJSON, wantTail)
		}
		if want := map[bool]string{true: "application/octet-stream", false: "application/json"}[wantTail != ""]; response.Header.Get("Content-Type") != want {
			t.Errorf("Content-Type %q, want %q", response.Header.Get("Content-Type"), want)
		}
	}
	f("reviews", `"outputs":[{"name":"class","parameters":{"binary_data":true}},{"name":"age"}],`,
		`{"model_name":"reviews","model_version":"7","outputs":[{"name":"class","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":7}},`+
			`{"name":"age","shape":[1],"datatype":"FP32","data":[1.0]}]}`, "\x03\x00\x00\x00yes")
	f("ints", `"parameters":{"binary_data_output":true},"outputs":[{"name":"class"},{"name":"age"},{"name":"probability","parameters":{"binary_data":false}}],`,
		`{"model_name":"ints","model_version":"7","outputs":[{"name":"class","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":8}},`+
			`{"name":"age","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}},{"name":"probability","shape":[1,2],"datatype":"FP64","data":[0.30000000000000004,0.7]}]}`,
		"\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x3f")
	f("ints", `"outputs":[{"name":"age"}],`, `{"model_name":"ints","model_version":"7","outputs":[{"name":"age","shape":[1],"datatype":"FP32","data":[1.0]}]}`, "")
}

func TestMany(t *testing.T) {
	m, broken := reviews("no", "yes"), value()
	broken.schema = &engine.Schema{Inputs: []engine.Field{{Name: "sentence", Type: engine.Text, Width: 1}}, Outputs: oneText.Outputs}
	broken.columns = func([]engine.Column, int, []engine.Column, []error) error { return errors.New("the engine failed") }
	length := value()
	length.schema = broken.schema
	s, client := startServer(t, map[string]Model{"reviews": m, "length": length, "broken": broken, "text": value(), "ctr": &fakeModel{}}, Options{MaxRows: 4})
	f := expectations(t, client)
	const p = "POST /v1/models:predict"
	f("models of other columns", p, `{"models":["length","reviews/versions/8"],"instances":[{"sentence":"good","age":31}]}`, 200,
		`{"predictions":{"length":[4.0],"reviews/versions/8":[{"probability":[0.6,0.4],"class":"no","age":31.0}]}}`)
	f("by column, names last", p, `{"inputs":{"sentence":["good","bad"],"age":[31,1]},"models":["reviews","length"]}`, 200,
		`{"outputs":{"reviews":{"probability":[[0.6,0.4],[0.7,0.3]],"class":["no","no"],"age":[31.0,1.0]},"length":[4.0,3.0]}}`)
	f("a model that fails", p, `{"models":["length","broken","x"],"instances":["a"]}`, 200,
		`{"predictions":{"length":[1.0]},"errors":{"broken":"the engine failed","x":"model \"x\" is unknown; the models are: broken, ctr, length, reviews, text"}}`)
	f("a row that one refuses", p, `{"models":["length","reviews"],"instances":[{"sentence":"refuse","age":31}]}`, 200,
		`{"predictions":{"length":[6.0]},"errors":{"reviews":"1 of 1 rows are refused (rows are numbered from 0); row 0: batcher: the engine refuses this row: unknown word"}}`)
	f("a column that one lacks", p, `{"models":["length","text"],"instances":[{"sentence":"good"}]}`, 200,
		`{"predictions":{"length":[4.0]},"errors":{"text":"1 of 1 rows are refused (rows are numbered from 0): row 0, column \"text\" is missing"}}`)
	f("a version by two names", p, `{"models":["length","length/versions/7"],"instances":["ab"]}`, 200, `{"predictions":{"length":[2.0],"length/versions/7":[2.0]}}`)
	f("columns of other lengths", p, `{"models":["length","text"],"inputs":{"sentence":["a","b"],"text":["a"]}}`, 200,
		`{"outputs":{"length":[1.0,1.0]},"errors":{"text":"its columns have 1 rows, and those of model length have 2; all need as many"}}`)
	f("indices", p, `{"models":["ctr"],"instances":[[1,2],[3,4]]}`, 200, `{"predictions":{"ctr":[1.2,3.4]}}`)
	f("a column that none has", p, `{"models":["length"],"instances":[{"sentence":"good","x":1}]}`, 400, `model length: 1 of 1 rows are refused`)
	f("all fail", p, `{"models":["x","y"],"instances":["a"]}`, 404, `model x: model \"x\" is unknown`)
	f("too many rows", p, `{"models":["length","reviews"],"inputs":{"sentence":["a","b","c"],"age":[1,2,3]}}`, 413, `more than 2 rows, the most for 2 models`)
	f("too many models", p, `{"models":["a","b","c","d","e"],"instances":["a"]}`, 413, `names 5 models`)
	f("a model twice", p, `{"models":["a","a"],"instances":["a"]}`, 400, `model \"a\" is named twice`)
	f("no models", p, `{"instances":["a"]}`, 400, `names no models`)
	f("no JSON", p, `{"models":["length"],"instances":["a"]`, 400, `ends where , or } is expected`)
	f("got", "GET /v1/models:predict", "", 405, "use POST")
	for name, m := range map[string]*fakeModel{"reviews": m, "length": length, "broken": broken} {
		if n := m.held.Load(); n != 0 {
			t.Errorf("%d versions of %s are held after the last answer", n, name)
		}
	}
	if n := counted(t, s.metrics.rows); n != 15 {
		t.Errorf("%v rows counted, want 15", n)
	}
}

// pairs implements Auctions: a request has the impressions 1 and 22, and there is the campaign "c7".
type pairs struct{}

func (pairs) Decode(body []byte, exchange string, received time.Time, raw *auction.Raw) (*auction.Request, error) {
	if received.IsZero() || !strings.Contains(string(body), `"id"`) {
		return nil, errors.New("openrtb: bid request: id is missing")
	}
	raw.Reset()
	raw.AddImpression().ID = "1"
	raw.AddImpression().ID = "22" + exchange
	return (*auction.Request)(&raw.Draft), nil
}

func (pairs) Candidate(req *auction.Request, impression, campaign, creative string) (auction.Candidate, error) {
	for i := range req.Impressions {
		if req.Impressions[i].ID == impression && campaign == "c7" {
			return auction.Candidate{Impression: i, Campaign: &auction.Campaign{ID: campaign + creative}}, nil
		}
	}
	return auction.Candidate{}, fmt.Errorf("no %s with %s", impression, campaign)
}

func TestCandidates(t *testing.T) {
	m := &fakeModel{}
	s, client := startServer(t, map[string]Model{"ctr": m, "reviews": reviews()}, Options{Auctions: pairs{}, MaxRows: 3})
	f := expectations(t, client)
	const p = "POST /v1/models/ctr:score"
	f("candidates", p, `{"request":{"id":"a","imp":[]},"candidates":[{"imp":"1","campaign":"c7"},{"campaign":"c7","creative":"xx","imp":"22"}]}`, 200, `{"predictions":[2.125,4.25]}`)
	f("an exchange", "POST /v1/models/ctr/versions/8:score", `{"candidates":[{"imp":"22b","campaign":"c7"}],"exchange":"b","request":{"id":1}}`, 200, `{"predictions":[2.375]}`)
	f("unknown ones", p, `{"request":{"id":"a"},"candidates":[{"imp":"1","campaign":"c7"},{"imp":"2","campaign":"c7"},{"imp":"1","campaign":"c8"}]}`, 400,
		`2 of 3 candidates are refused (they are numbered from 0): candidate 1: no 2 with c7; candidate 2: no 1 with c8`)
	f("no bid request", p, `{"request":{},"candidates":[{"imp":"1","campaign":"c7"}]}`, 400, "id is missing")
	f("no request", p, `{"candidates":[{"imp":"1","campaign":"c7"}]}`, 400, `no \"request\"`)
	f("no candidates", p, `{"request":{"id":1}}`, 400, `no candidates`)
	f("no campaign", p, `{"request":{"id":1},"candidates":[{"imp":"1"}]}`, 400, `candidate 0 lacks \"imp\" or \"campaign\"`)
	f("another key", p, `{"request":{"id":1},"candidates":[{"imp":"1","price":1}]}`, 400, `candidate 0 has key \"price\"`)
	f("a number", p, `{"request":{"id":1},"candidates":[{"imp":1}]}`, 400, `an id, a text, is expected`)
	f("another member", p, `{"requests":[]}`, 400, `the body has key \"requests\"`)
	f("twice", p, `{"request":{"id":1},"request":{"id":1}}`, 400, `\"request\" is given twice`)
	f("too many", p, `{"request":{"id":1},"candidates":[{"imp":"1","campaign":"c7"},{"imp":"1","campaign":"c7"},{"imp":"1","campaign":"c7"},{"imp":"1","campaign":"c7"}]}`, 413, "more than 3 rows")
	f("a model without recipe", "POST /v1/models/reviews:score", `{"request":{"id":1},"candidates":[{"imp":"1","campaign":"c7"}]}`, 400, "no recipe")
	if n := m.held.Load(); n != 0 {
		t.Errorf("%d versions are held after the last answer", n)
	}
	if n := counted(t, s.metrics.rows); n != 3 {
		t.Errorf("%v rows counted, want 3", n)
	}
	_, client = startServer(t, map[string]Model{"ctr": m}, Options{})
	expectations(t, client)("without auctions", p, `{}`, 405, "use GET")
}

// A prediction of columns allocates nothing, except in the model.
func TestColumnsAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools drop items")
	}
	s, _ := startServer(t, map[string]Model{"ctr": steady{&fakeVersion{reviews("no", "yes"), 7}}}, Options{})
	f := func(name, body string) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, handled(t, s, body)); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("rows", `{"instances":[{"sentence":"good","age":31},{"sentence":"better","age":1.5}]}`)
	f("columns", `{"inputs":{"sentence":["good","better"],"age":[31,1.5]}}`)
}

// An answer of too many values is refused before memory is made for it.
func TestColumnsTooWide(t *testing.T) {
	wide := value()
	wide.schema = &engine.Schema{Inputs: oneText.Inputs, Outputs: []engine.Field{{Name: "value", Type: engine.Float64, Width: maxValues/2 + 1}}}
	wide.columns = func([]engine.Column, int, []engine.Column, []error) error { return nil }
	_, client := startServer(t, map[string]Model{"a": wide, "b": wide}, Options{})
	f := expectations(t, client)
	f("rows", "POST /v1/models/a:predict", `{"instances":["a","b"]}`, 413, "the answer for 2 rows has 4194306 values")
	f("inference", "POST /v2/models/a/infer", `{"inputs":[{"name":"text","shape":[2],"datatype":"BYTES","data":["a","b"]}]}`, 413, "4194306 values")
}
