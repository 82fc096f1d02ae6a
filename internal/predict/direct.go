package predict

import (
	"bytes"
	"time"

	"github.com/bytedance/sonic"

	"gavel/internal/edge"
)

// directRows bounds the rows of a request that the edge's loop handles, for all connections wait meanwhile: reading one
// takes a microsecond or two.
const directRows = 16

// begin starts a prediction on the edge's loop, if it is a plain one: by the stable version, of few rows, with nothing wrong
// that can be seen. All others have a worker, who tells what is wrong.
func (s *Server) begin(call *edge.Call) bool {
	name, ok := bytes.CutPrefix(call.Path, []byte(pathPrefix))
	if !ok || string(call.Method) != "POST" {
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
	w.server, w.call = s, call
	if !w.start(model) {
		w.done()
		return false
	}
	return true
}

// start reads the rows and has them scored. Where that panics it does again for a worker, whose panic is told.
func (w *work) start(model Model) (ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			ok = false
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
	s, call, o := w.server, w.call, outcomeOK
	if err == nil {
		w.answer(results)
		s.metrics.rows.Add(float64(len(results)))
	} else {
		o = classify(err)
		// A struct of one string: there is nothing that could fail.
		w.out, _ = sonic.ConfigStd.Marshal(failure{unscored(err, results).Error()})
	}
	s.metrics.requests[o].Inc()
	s.metrics.latency.Observe(time.Since(call.Received).Seconds())
	call.Answer(statuses[o], "application/json", w.out)
	w.done()
}

// done gives back what a request on the loop held.
func (w *work) done() {
	if w.version != nil {
		w.version.Release()
		w.version = nil
	}
	s := w.server
	w.server, w.call = nil, nil
	w.trim()
	s.work.Put(w)
}
