package predict

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"gavel/internal/httpd"
	"gavel/internal/scoring"
)

// work is the memory of one request.
type work struct {
	server  *Server
	request request
	version Version // held until the request is answered; nil: none
	results []scoring.Result
	out     []byte
	call    *httpd.Call // of a request on the event loop; else nil
}

// maxKept bounds each buffer that is kept for the next request, in bytes.
const maxKept = 256 << 10

const (
	pathPrefix    = "/v1/models/"
	versionsInfix = "/versions/"
	metadataTail  = "/metadata"
	predictVerb   = ":predict"

	// timeoutHeader is a request's timeout in ms.
	timeoutHeader = "X-Timeout-Ms"
)

// handle routes a request.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	w := s.work.Get().(*work)
	defer s.end(c, w)
	name, ok := bytes.CutPrefix(c.Path(), []byte(pathPrefix))
	if !ok {
		writeError(c, fasthttp.StatusNotFound, "the paths are "+pathPrefix+"{model}, with or without /versions/{n}, "+
			"followed by "+predictVerb+" (POST), "+metadataTail+" or nothing (GET)")
		return
	}
	if name, ok = bytes.CutSuffix(name, []byte(predictVerb)); !ok {
		s.describe(c, w, name)
		return
	}
	o, err := s.predict(c, w, name)
	if err != nil {
		writeError(c, statuses[o], err.Error())
	}
	s.metrics.requests[o].Inc()
	s.metrics.latency.Observe(time.Since(httpd.Received(c)).Seconds())
}

// end gives back what a request held. After a panic it does not pool w, which may still be in use.
func (s *Server) end(c *fasthttp.RequestCtx, w *work) {
	w.release()
	if cause := recover(); cause != nil {
		s.panics(cause)
		s.metrics.requests[outcomeFailed].Inc()
		writeError(c, fasthttp.StatusInternalServerError, failedInside)
		return
	}
	w.done()
}

// done gives back what a request held and puts w into the pool.
func (w *work) done() {
	w.release()
	w.call = nil
	w.trim()
	w.server.work.Put(w)
}

const failedInside = "internal error; see the bidder's log"

// panics counts and logs a panic. It must be called from the deferred function, so that the stack is the panic's.
func (s *Server) panics(cause any) {
	s.metrics.panics.Inc()
	if held, ok := s.panicked.Due(time.Now()); ok {
		s.options.Logger.Error("panic recovered", slog.String("where", "predict"), slog.Any("cause", cause),
			slog.String("stack", string(debug.Stack())), slog.Int64("not_logged", held))
	}
}

// release releases the version, if there is one.
func (w *work) release() {
	if w.version != nil {
		w.version.Release()
		w.version = nil
	}
}

// trim clears the results and drops buffers that a large request made.
func (w *work) trim() {
	if cap(w.out) > maxKept {
		w.out = nil
	}
	if cap(w.request.rows) > maxKept/4 { // int32
		w.request.rows = nil
	}
	if cap(w.results) > maxKept/int(unsafe.Sizeof(scoring.Result{})) {
		w.results = nil
	}
	clear(w.results)
}

// predict reads the rows, scores them and writes the answer. If it cannot, it returns the outcome and an error.
func (s *Server) predict(c *fasthttp.RequestCtx, w *work, name []byte) (outcome, error) {
	if !c.IsPost() {
		c.Response.Header.Set("Allow", "POST")
		return outcomeMethod, errors.New("use POST for a prediction")
	}
	t, err := s.find(name)
	if err != nil {
		return outcomeUnknown, err
	}
	deadline, err := s.deadline(c)
	if err != nil {
		return outcomeInvalid, err
	}
	if e := c.Request.Header.ContentEncoding(); len(e) > 0 && string(e) != "identity" {
		return outcomeInvalid, fmt.Errorf("the body has content encoding %q; send it without", e)
	}
	v, err := t.model.Acquire(t.version)
	if err != nil {
		return classify(err), err
	}
	w.version = v
	r := &w.request
	err = r.parse(c.Request.Body(), shapeOf(v, s.options.MaxRows))
	switch {
	case errors.Is(err, errTooManyRows):
		return outcomeTooLarge, fmt.Errorf("the body has more than %d rows; send fewer at a time (or raise predict.rows)", s.options.MaxRows)
	case err != nil:
		return outcomeInvalid, err
	}
	w.results = slices.Grow(w.results[:0], r.n)[:r.n]
	if err := v.Score(r.rows, deadline, w.results); err != nil {
		return classify(err), unscored(err, w.results)
	}
	w.answer(w.results)
	c.Response.Header.SetContentType("application/json")
	c.Response.SetBody(w.out)
	s.metrics.rows.Add(float64(r.n))
	return outcomeOK, nil
}

// shapeOf returns the bounds of a request to v.
func shapeOf(v Version, maxRows int) shape {
	signature := v.Signature()
	rowLen, tableRows := v.Shape()
	return shape{rowLen, tableRows, signature.Name, signature.Input, maxRows}
}

// target is the model, and the version if any, that a path names.
type target struct {
	name    []byte
	model   Model
	version int64 // 0: the stable version
}

// find reads {model} or {model}/versions/{n}.
func (s *Server) find(path []byte) (t target, err error) {
	t.name = path
	if i := bytes.Index(path, []byte(versionsInfix)); i >= 0 {
		t.name = path[:i]
		number := string(path[i+len(versionsInfix):])
		if t.version, err = strconv.ParseInt(number, 10, 64); err != nil || t.version < 1 {
			return t, fmt.Errorf("version %q is not a positive number", show(number))
		}
	}
	if t.model = s.models[string(t.name)]; t.model == nil {
		return t, fmt.Errorf("model %q is unknown; the models are: %s", show(t.name), strings.Join(slices.Sorted(maps.Keys(s.models)), ", "))
	}
	return t, nil
}

// deadline returns when a request must be answered.
func (s *Server) deadline(c *fasthttp.RequestCtx) (time.Time, error) {
	timeout := s.options.Timeout
	if h := c.Request.Header.Peek(timeoutHeader); len(h) > 0 {
		ms, err := strconv.Atoi(string(h))
		if err != nil || ms < 1 || ms > int(MaxTimeout/time.Millisecond) {
			return time.Time{}, fmt.Errorf("%s is %q; send whole milliseconds, 1 to %d", timeoutHeader, h, MaxTimeout/time.Millisecond)
		}
		timeout = time.Duration(ms) * time.Millisecond
	}
	return httpd.Received(c).Add(timeout), nil
}

// classify returns the outcome for an error of Acquire or Score.
func classify(err error) outcome {
	switch {
	case errors.Is(err, scoring.ErrShed):
		return outcomeShed
	case errors.Is(err, scoring.ErrExpired):
		return outcomeExpired
	case errors.Is(err, scoring.ErrRow):
		return outcomeInvalid
	case errors.Is(err, scoring.ErrOtherVersion):
		return outcomeUnknown
	case errors.Is(err, scoring.ErrNoVersion), errors.Is(err, scoring.ErrClosed):
		return outcomeUnavailable
	default:
		return outcomeFailed
	}
}

// unscored returns err, or, if rows were refused, an error that names them.
func unscored(err error, results []scoring.Result) error {
	if !errors.Is(err, scoring.ErrRow) {
		return err
	}
	var text strings.Builder
	bad := 0
	for i, r := range results {
		if !errors.Is(r.Err, scoring.ErrRow) {
			continue
		}
		if bad++; bad <= maxFaults {
			fmt.Fprintf(&text, "; row %d: %v", i, r.Err)
		}
	}
	return fmt.Errorf("%d of %d rows are refused (rows are numbered from 0)%s", bad, len(results), text.String())
}

// answer writes the predictions into w.out, each as the shortest decimal that reads back as the same float32.
func (w *work) answer(results []scoring.Result) {
	out := append(w.out[:0], `{"predictions":[`...)
	if w.request.columnar {
		out = append(out[:0], `{"outputs":[`...)
	}
	for i := range results {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendFloat(out, results[i].Probability)
	}
	w.out = append(out, "]}"...)
}

// appendFloat appends p so that every JSON reader takes it for a float: 1.0, not 1.
func appendFloat(out []byte, p float32) []byte {
	start := len(out)
	out = strconv.AppendFloat(out, float64(p), 'g', -1, 32)
	for _, c := range out[start:] {
		if c == '.' || c == 'e' {
			return out
		}
	}
	return append(out, ".0"...)
}
