package predict

import (
	"bytes"
	"time"

	"github.com/bytedance/sonic"

	"gavel/internal/httpd"
	"gavel/internal/scoring"
)

// Bounds of a request on the event loop, because all connections wait for it. To read a row takes a microsecond or two;
// the worst case, values that are not indices, takes some 100 µs a kilobyte.
const (
	directRows  = 16
	directBytes = 8 << 10
)

// begin starts a prediction on the event loop if the request is small, for the stable version, and without a visible
// fault. All other requests go to a worker, which also words their errors.
func (s *Server) begin(call *httpd.Call) bool {
	name, ok := bytes.CutPrefix(call.Path, []byte(pathPrefix))
	if !ok || string(call.Method) != "POST" || len(call.Body) > directBytes {
		return false
	}
	if name, ok = bytes.CutSuffix(name, []byte(predictVerb)); !ok {
		return false
	}
	model := s.model(name)
	if model == nil {
		return false
	}
	w := s.work.Get().(*work)
	w.call = call
	return w.start(model)
}

// start reads the rows and starts their scoring. If it returns false, w must not be used any more.
func (w *work) start(model Model) (ok bool) {
	defer func() {
		if cause := recover(); cause != nil { // w may still be in use, so it is not put back; a worker tries again
			w.server.panics(cause)
			w.release()
			ok = false
		} else if !ok {
			w.done()
		}
	}()
	v, err := model.Acquire(0)
	if err != nil {
		return false
	}
	w.version = v
	o := &w.server.options
	shape, ok := shapeOf(v, min(directRows, o.MaxRows))
	if !ok {
		return w.startColumns(v)
	}
	if err := w.request.parse(w.call.Body, shape); err != nil {
		return false
	}
	return v.Start(w.request.rows, w.request.n, w.call.Received.Add(o.Timeout), w)
}

// quick says that ScoreColumns runs n rows in the caller's goroutine, within microseconds: the event loop may wait for that.
func quick(v Version, n int) bool {
	q, ok := v.(interface{ Quick(n int) bool })
	return ok && q.Quick(n)
}

// startColumns is start for rows of columns: it scores them at once, and answers.
func (w *work) startColumns(v Version) bool {
	s, p, call := w.server, &w.part, w.call
	if !quick(v, 1) {
		return false
	}
	t := &p.table
	t.begin(call.Body, v.Schema(), min(directRows, s.options.MaxRows))
	if err := t.parse(); err != nil || !quick(v, t.n) {
		return false
	}
	p.version, w.version = v, nil
	o, err := p.score(call.Received.Add(s.options.Timeout))
	if err == nil {
		o, err = w.writeColumns()
	}
	if err != nil {
		w.out, _ = sonic.ConfigStd.Marshal(failure{err.Error()}) // cannot fail: a struct of one string
	}
	w.reply(o)
	return true
}

// reply answers a request on the event loop with w.out, and ends it.
func (w *work) reply(o outcome) {
	s, call := w.server, w.call
	s.metrics.requests[o].Inc()
	s.metrics.latency.Observe(time.Since(call.Received).Seconds())
	w.release() // before Answer: once all are answered, the server and then the model may be closed
	call.Answer(statuses[o], contentJSON, w.out)
	w.done()
}

// Scored implements scoring.Receiver. It answers the request.
func (w *work) Scored(results []scoring.Result, err error) { w.reply(w.writeAnswer(results, err)) }

// writeAnswer writes the answer's body into w.out and returns its outcome.
func (w *work) writeAnswer(results []scoring.Result, err error) (o outcome) {
	message := failedInside
	defer func() {
		if cause := recover(); cause != nil {
			w.server.panics(cause)
			o = outcomeFailed
		}
		if o != outcomeOK { // cannot fail: a struct of one string
			w.out, _ = sonic.ConfigStd.Marshal(failure{message})
		}
	}()
	if err != nil {
		o = classify(err)
		message = unscored(err, results).Error()
		return o
	}
	w.answer(results)
	w.server.metrics.rows.Add(float64(len(results)))
	return outcomeOK
}
