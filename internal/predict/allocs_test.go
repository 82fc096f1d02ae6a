package predict

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"gavel/internal/race"
	"gavel/internal/scoring"
)

// handled is a request that a server handles without a connection.
func handled(t testing.TB, s *Server, body string) func() {
	var request fasthttp.Request
	request.Header.SetMethod("POST")
	request.SetRequestURI("http://h/v1/models/ctr:predict")
	request.SetBodyString(body)
	var c fasthttp.RequestCtx
	c.Init(&request, nil, nil)
	return func() {
		c.Response.Reset()
		s.handle(&c)
		if c.Response.StatusCode() != 200 {
			t.Fatalf("status %d: %s", c.Response.StatusCode(), c.Response.Body())
		}
	}
}

// A prediction allocates nothing, except in the model.
func TestPredictAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes pools drop items")
	}
	s, _ := startServer(t, map[string]Model{"ctr": steady{&fakeVersion{new(fakeModel), 7}}}, Options{})
	f := func(name, body string) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, handled(t, s, body)); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("a row", one)
	f("many rows", `{"instances":[`+strings.Repeat("[1,2],", 1000)+`[1,2]]}`)
}

// steady is a model that always returns the same version.
type steady struct{ *fakeVersion }

func (m steady) Acquire(int64) (Version, error)              { return m.fakeVersion, nil }
func (m steady) AcquireBy(int64, time.Time) (Version, error) { return m.fakeVersion, nil }
func (m steady) Versions() []scoring.VersionStatus           { return nil }

// BenchmarkPredict answers one row in process, without a connection, by a model that takes no time.
func BenchmarkPredict(b *testing.B) {
	s, _ := startServer(b, map[string]Model{"ctr": steady{&fakeVersion{new(fakeModel), 7}}}, Options{})
	serve := handled(b, s, one)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

// The buffers of usual requests are kept, those of the largest dropped.
func TestTrim(t *testing.T) {
	f := func(bytes int, kept bool) {
		t.Helper()
		w := work{out: make([]byte, 0, bytes), results: make([]scoring.Result, 0, bytes/int(unsafe.Sizeof(scoring.Result{})))}
		w.request.rows = make([]int32, 0, bytes/4)
		w.trim()
		if (w.out != nil) != kept || (w.results != nil) != kept || (w.request.rows != nil) != kept {
			t.Errorf("%d bytes: answer kept %v, results %v, rows %v; want %v", bytes, w.out != nil, w.results != nil, w.request.rows != nil, kept)
		}
	}
	f(maxKept-1024, true)
	f(maxKept+1024, false)
}
