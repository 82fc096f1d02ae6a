package predict

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gavel/internal/scoring"
)

// coldModel is loaded when it is asked for.
type coldModel struct {
	fakeModel
	slow   bool // it is not loaded by any deadline
	loaded atomic.Bool
}

func (m *coldModel) Acquire(number int64) (Version, error) {
	if !m.loaded.Load() {
		return nil, scoring.ErrLoading
	}
	return m.fakeModel.Acquire(number)
}

func (m *coldModel) AcquireBy(number int64, _ time.Time) (Version, error) {
	if !m.slow {
		m.loaded.Store(true)
	}
	return m.Acquire(number)
}

func (m *coldModel) Versions() []scoring.VersionStatus {
	if m.loaded.Load() {
		return m.fakeModel.Versions()
	}
	return []scoring.VersionStatus{{Version: 7, State: scoring.StateStart}}
}

// A request waits for a model that is loaded when it is asked for. If it takes too long, the answer says when to try again. To ask
// whether it is ready loads nothing.
func TestColdModels(t *testing.T) {
	f := func(request, body, want string) {
		t.Helper()
		quick, slow := &coldModel{}, &coldModel{slow: true}
		_, client := startServer(t, map[string]Model{"quick": quick, "slow": slow}, Options{})
		for _, path := range []string{"/v2/health/ready", "/v2/models/quick/ready", "/v2/models/slow/versions/7/ready"} {
			if status, got := ask(t, client, "GET "+path, ""); status != 200 {
				t.Errorf("%s: status %d, %s", path, status, got)
			}
		}
		if quick.loaded.Load() {
			t.Error("to ask whether a model is ready has it loaded")
		}
		if status, got := ask(t, client, request, body); status != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: status %d, %s, want %s", request, status, got, want)
		}
		if n := quick.held.Load(); n != 0 {
			t.Errorf("%s: %d versions are held", request, n)
		}
		slowly := strings.NewReplacer("quick", "slow").Replace
		if status, got := ask(t, client, slowly(request), slowly(body)); status != 503 || !strings.Contains(got, "try again in a second") {
			t.Errorf("%s, slowly: status %d, %s", request, status, got)
		}
		method, path, _ := strings.Cut(slowly(request), " ")
		req, err := http.NewRequest(method, "http://predict"+path, strings.NewReader(slowly(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Retry-After"); got != "1" {
			t.Errorf("%s: Retry-After %q", request, got)
		}
	}
	f("POST /v1/models/quick:predict", `{"instances":[[1,2]]}`, `{"predictions":[1.2]}`)
	f("POST /v1/models/quick/versions/8:predict", `{"instances":[[1,2]]}`, `{"predictions":[1.2]}`)
	f("GET /v1/models/quick/metadata", "", "signature_def")
	f("GET /v2/models/quick", "", `"name":"quick"`)
	f("POST /v2/models/quick/infer", `{"inputs":[{"name":"rows","shape":[1,2],"datatype":"INT32","data":[1,2]}]}`, "1.2")
}

func TestManyColdModels(t *testing.T) {
	_, client := startServer(t, map[string]Model{"a": &coldModel{}, "b": &coldModel{slow: true}, "c": &coldModel{}}, Options{})
	status, got := ask(t, client, "POST /v1/models:predict", `{"models":["a","b","c"],"instances":[{"rows":[1,2]}]}`)
	if status != 200 || !strings.Contains(got, `"a":[1.2]`) || !strings.Contains(got, `"c":[1.2]`) || !strings.Contains(got, `"b":"scoring: the model is being loaded`) {
		t.Errorf("status %d, %s", status, got)
	}
}
