package predict

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
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
	// inflated is the body of a request that came as gzip.
	inflated bytes.Buffer
	call     *httpd.Call // of a request on the event loop; else nil

	part  part // of a request whose rows are columns
	infer infer
	many  []*part // of a request to several models
	score candidates
}

// maxKept bounds each buffer that is kept for the next request, in bytes.
const maxKept = 256 << 10

const (
	pathPrefix    = "/v1/models/"
	manyPath      = "/v1/models:predict"
	listPath      = "/v1/models"
	versionsInfix = "/versions/"
	metadataTail  = "/metadata"
	predictVerb   = ":predict"
	scoreVerb     = ":score"
	classifyVerb  = ":classify" // of TensorFlow Serving, for signatures that models here do not have
	regressVerb   = ":regress"

	// timeoutHeader is a request's timeout in ms.
	timeoutHeader = "X-Timeout-Ms"

	contentJSON = "application/json"
)

// handle routes a request.
func (s *Server) handle(c *fasthttp.RequestCtx) {
	w := s.work.Get().(*work)
	defer s.end(c, w)
	path := c.Path()
	if name, ok := bytes.CutPrefix(path, []byte(pathPrefix)); ok {
		if model, ok := bytes.CutSuffix(name, []byte(predictVerb)); ok {
			s.answer(c, w, model, (*Server).predict)
		} else if model, ok := bytes.CutSuffix(name, []byte(scoreVerb)); ok && s.options.Auctions != nil {
			s.answer(c, w, model, (*Server).candidates)
		} else if bytes.HasSuffix(name, []byte(classifyVerb)) || bytes.HasSuffix(name, []byte(regressVerb)) {
			writeError(c, fasthttp.StatusBadRequest, "the models' signatures are of the method tensorflow/serving/predict, neither classify nor regress; use "+predictVerb)
		} else {
			s.describe(c, w, name)
		}
		return
	}
	switch rest, isV2 := bytes.CutPrefix(path, []byte(v2Path)); {
	case string(path) == manyPath:
		s.answer(c, w, nil, (*Server).predictMany)
	case string(path) == listPath && (c.IsGet() || c.IsHead()):
		writeJSON(c, fasthttp.StatusOK, map[string][]string{"models": s.models.Names()})
	case isV2 && (len(rest) == 0 || rest[0] == '/'):
		s.v2(c, w, rest)
	default:
		writeError(c, fasthttp.StatusNotFound, "the paths are "+pathPrefix+"{model}, with or without /versions/{n}, "+
			"followed by "+predictVerb+" or "+scoreVerb+" (POST), "+metadataTail+" or nothing (GET); "+manyPath+" (POST); "+listPath+" (GET); and those below "+v2Path)
	}
}

// predictor answers one prediction, of the model that its path names. If it cannot, it returns the outcome and an error.
type predictor func(s *Server, c *fasthttp.RequestCtx, w *work, name []byte) (outcome, error)

// answer has a prediction answered, and counts it.
func (s *Server) answer(c *fasthttp.RequestCtx, w *work, name []byte, predict predictor) {
	o, err := s.checked(c, w, name, predict)
	if err != nil {
		writeFault(c, o, err)
	}
	s.metrics.requests[o].Inc()
	s.metrics.latency.Observe(time.Since(httpd.Received(c)).Seconds())
}

// checked checks what is the same for every prediction.
func (s *Server) checked(c *fasthttp.RequestCtx, w *work, name []byte, predict predictor) (outcome, error) {
	if !c.IsPost() {
		c.Response.Header.Set("Allow", "POST")
		return outcomeMethod, errors.New("use POST for a prediction")
	}
	if o, err := s.inflate(c, w); err != nil {
		return o, err
	}
	return predict(s, c, w, name)
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
	w.part.trim()
	if len(w.many) > keptParts {
		clear(w.many[keptParts:])
		w.many = w.many[:keptParts]
	}
	for _, p := range w.many {
		p.trim()
	}
	w.score.trim()
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

// release releases the versions that are held.
func (w *work) release() {
	if w.version != nil {
		w.version.Release()
		w.version = nil
	}
	w.part.release()
	for _, p := range w.many {
		p.release()
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
	if w.inflated.Cap() > maxKept {
		w.inflated = bytes.Buffer{}
	}
	if cap(w.results) > maxKept/int(unsafe.Sizeof(scoring.Result{})) {
		w.results = nil
	}
	clear(w.results)
}

// predict reads the rows, scores them and writes the answer.
func (s *Server) predict(c *fasthttp.RequestCtx, w *work, name []byte) (outcome, error) {
	v, deadline, o, err := s.acquire(c, name)
	if err != nil {
		return o, err
	}
	w.version = v
	shape, ok := shapeOf(v, s.options.MaxRows)
	if !ok {
		return s.predictColumns(c, w, deadline)
	}
	r := &w.request
	if err := r.parse(c.Request.Body(), shape); err != nil {
		return s.unread(err)
	}
	w.results = slices.Grow(w.results[:0], r.n)[:r.n]
	if err := v.Score(r.rows, deadline, w.results); err != nil {
		return classify(err), unscored(err, w.results)
	}
	w.answer(w.results)
	c.Response.Header.SetContentType(contentJSON)
	c.Response.SetBody(w.out)
	s.metrics.rows.Add(float64(r.n))
	return outcomeOK, nil
}

// predictColumns is predict for rows of columns.
func (s *Server) predictColumns(c *fasthttp.RequestCtx, w *work, deadline time.Time) (outcome, error) {
	p := &w.part
	p.version, w.version = w.version, nil
	t := &p.table
	t.begin(c.Request.Body(), p.version.Schema(), s.options.MaxRows)
	if err := t.parse(); err != nil {
		return s.unread(err)
	}
	if o, err := p.score(deadline); err != nil {
		return o, err
	}
	o, err := w.writeColumns()
	if err != nil {
		return o, err
	}
	c.Response.Header.SetContentType(contentJSON)
	c.Response.SetBody(w.out)
	return outcomeOK, nil
}

// writeColumns writes the answer for rows of columns into w.out.
func (w *work) writeColumns() (o outcome, err error) {
	p := &w.part
	if p.table.columnar {
		w.out, err = p.outputs.appendColumns(append(w.out[:0], `{"outputs":`...))
	} else {
		w.out, err = p.outputs.appendRows(append(w.out[:0], `{"predictions":`...))
	}
	if err != nil {
		return outcomeFailed, err
	}
	w.out = append(w.out, '}')
	w.server.metrics.rows.Add(float64(p.table.n))
	return outcomeOK, nil
}

// acquire returns the version that a path names, which the caller must release, and the deadline of the request.
func (s *Server) acquire(c *fasthttp.RequestCtx, name []byte) (v Version, deadline time.Time, o outcome, err error) {
	t, err := s.find(name)
	if errors.Is(err, errMalformed) {
		return nil, deadline, outcomeInvalid, err
	}
	if err != nil {
		return nil, deadline, outcomeUnknown, err
	}
	if deadline, err = s.deadline(c); err != nil {
		return nil, deadline, outcomeInvalid, err
	}
	if v, err = t.model.AcquireBy(t.version, deadline); err != nil {
		return nil, deadline, classify(err), err
	}
	return v, deadline, outcomeOK, nil
}

// unread returns the outcome of a body that cannot be read.
func (s *Server) unread(err error) (outcome, error) {
	if errors.Is(err, errTooManyRows) {
		return outcomeTooLarge, fmt.Errorf("the body has more than %d rows; send fewer at a time (or raise predict.rows)", s.options.MaxRows)
	}
	return outcomeInvalid, err
}

// defaultSignature is the name of a signature where the model's format has none.
const defaultSignature = "serving_default"

// shapeOf returns the bounds of a request to v; false if its rows are not indices with one probability each.
func shapeOf(v Version, maxRows int) (shape, bool) {
	rowLen, tableRows := v.Shape()
	if rowLen == 0 {
		return shape{}, false
	}
	schema, signature := v.Schema(), v.Signature()
	if len(schema.Inputs) != 1 || len(schema.Outputs) != 1 || schema.Outputs[0].Width != 1 {
		return shape{}, false
	}
	return shape{
		rowLen: rowLen, tableRows: tableRows, maxRows: maxRows,
		signature: cmp.Or(signature.Name, defaultSignature), input: cmp.Or(signature.Input, schema.Inputs[0].Name),
	}, true
}

// target is the model, and the version if any, that a path names.
type target struct {
	name    []byte
	model   Model
	version int64 // 0: the stable version
}

// errMalformed: the path is none of this server's. As in TensorFlow Serving, the answer is 400, not 404.
var errMalformed = errors.New("malformed request")

// find reads {model} or {model}/versions/{n}.
func (s *Server) find(path []byte) (t target, err error) {
	t.name = path
	if i := bytes.Index(path, []byte(versionsInfix)); i >= 0 {
		t.name = path[:i]
		number := string(path[i+len(versionsInfix):])
		if strings.Trim(number, "0123456789") != "" || number == "" {
			return t, fmt.Errorf("%w: version %q is not a number", errMalformed, show(number))
		}
		if t.version, err = strconv.ParseInt(number, 10, 64); err != nil || t.version < 1 {
			return t, fmt.Errorf("version %q is none: versions are positive numbers", show(number))
		}
	}
	if t.model = s.model(t.name); t.model == nil {
		return t, fmt.Errorf("model %q is unknown; the models are: %s", show(t.name), listed(s.models.Names()))
	}
	return t, nil
}

// model returns the model with that name, or nil.
func (s *Server) model(name []byte) Model {
	return s.models.Find(unsafe.String(unsafe.SliceData(name), len(name)))
}

// listed lists names, the first of many.
func listed(names []string) string {
	const most = 32
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// deadline returns when a request must be answered. It refuses headers that it cannot follow.
func (s *Server) deadline(c *fasthttp.RequestCtx) (time.Time, error) {
	if e := c.Request.Header.ContentEncoding(); len(e) > 0 && string(e) != "identity" {
		return time.Time{}, fmt.Errorf("the body has content encoding %q; send it as gzip or without", e)
	}
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
	case errors.Is(err, scoring.ErrRow), errors.Is(err, scoring.ErrNoRecipe):
		return outcomeInvalid
	case errors.Is(err, scoring.ErrOtherVersion):
		return outcomeUnknown
	case errors.Is(err, scoring.ErrNoVersion), errors.Is(err, scoring.ErrClosed), errors.Is(err, scoring.ErrLoading):
		return outcomeUnavailable
	default:
		return outcomeFailed
	}
}

// unscored returns err, or, if rows were refused, an error that names them.
func unscored(err error, results []scoring.Result) error {
	return refusedRows(err, len(results), func(i int) error { return results[i].Err })
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
