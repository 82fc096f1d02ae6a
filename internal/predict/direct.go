package predict

import (
	"bytes"
	"time"

	"github.com/bytedance/sonic"

	"gavel/internal/httpd"
)

// What the edge's loop handles, for all connections wait meanwhile: reading a row takes a microsecond or two, and at its
// worst (values that are no indices) a kilobyte takes some hundred.
const (
	directRows  = 16
	directBytes = 8 << 10
)

// begin starts a prediction on the edge's loop, if it is a plain one: by the stable version, small, and with nothing wrong
// that can be seen. All others have a worker, who tells what is wrong.
func (s *Server) begin(call *httpd.Call) bool {
	name, ok := bytes.CutPrefix(call.Path, []byte(pathPrefix))
	if !ok || string(call.Method) != "POST" || len(call.Body) > directBytes {
		return false
	}
	if name, ok = bytes.CutSuffix(name, []byte(predictVerb)); !ok {
		return false
	}
	model := s.models[string(name)]
	if model == nil {
		return false
	}
	w := s.work.Get().(*work)
	w.call = call
	return w.start(model)
}

// start reads the rows and has them scored. Where it returns false the work is done with.
func (w *work) start(model Model) (ok bool) {
	defer func() {
		if cause := recover(); cause != nil { // w is left to the collector; a worker tries again
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
	if err := w.request.parse(w.call.Body, shapeOf(v, min(directRows, o.MaxRows))); err != nil {
		return false
	}
	return v.Start(w.request.rows, w.request.n, w.call.Received.Add(o.Timeout), w)
}

// Scored implements Receiver: it answers.
func (w *work) Scored(results []Result, err error) {
	s, call := w.server, w.call
	o := w.tell(results, err)
	s.metrics.requests[o].Inc()
	s.metrics.latency.Observe(time.Since(call.Received).Seconds())
	w.release() // first: once answered, the server may stop, and the model after it
	call.Answer(statuses[o], "application/json", w.out)
	w.done()
}

// tell writes the answer's body into out.
func (w *work) tell(results []Result, err error) (o outcome) {
	message := failedInside
	defer func() {
		if cause := recover(); cause != nil {
			w.server.panics(cause)
			o = outcomeFailed
		}
		if o != outcomeOK { // a struct of one string: there is nothing that could fail
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
