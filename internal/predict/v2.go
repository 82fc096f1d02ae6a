package predict

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"gavel/internal/engine"
	"gavel/internal/httpd"
	"gavel/internal/scoring"
)

// The Open Inference Protocol, version 2, over HTTP:
//
//	GET  /v2                                          the server
//	GET  /v2/health/live, /v2/health/ready            live: always; ready: every model has a version
//	GET  /v2/models/{model}[/versions/{n}]            inputs, outputs, labels
//	GET  /v2/models/{model}[/versions/{n}]/ready
//	POST /v2/models/{model}[/versions/{n}]/infer
const (
	v2Path     = "/v2"
	v2Models   = "/models/"
	v2Ready    = "/ready"
	v2Infer    = "/infer"
	binaryName = "Inference-Header-Content-Length" // of the JSON before binary tensors
)

type v2Server struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

type v2Model struct {
	Name     string     `json:"name"`
	Versions []string   `json:"versions"`
	Platform string     `json:"platform"`
	Inputs   []v2Tensor `json:"inputs"`
	Outputs  []v2Tensor `json:"outputs"`
	Labels   []any      `json:"labels,omitempty"` // of the classes; an addition to the protocol
}

// platforms are the protocol's names of what runs each format.
var platforms = map[string]string{scoring.FormatSavedModel: "tensorflow_savedmodel", scoring.FormatPlan: "gavel_plan", scoring.FormatONNX: "onnxruntime_onnx"}

type v2Tensor struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"` // −1: rows
}

// v2 routes a request. path is what follows /v2.
func (s *Server) v2(c *fasthttp.RequestCtx, w *work, path []byte) {
	name, isModel := bytes.CutPrefix(path, []byte(v2Models))
	if model, ok := bytes.CutSuffix(name, []byte(v2Infer)); ok && isModel {
		s.answer(c, w, model, (*Server).infer)
		return
	}
	if !c.IsGet() && !c.IsHead() {
		c.Response.Header.Set("Allow", "GET, HEAD")
		writeError(c, fasthttp.StatusMethodNotAllowed, "use GET for this path; the path of an inference (POST) ends in "+v2Infer)
		return
	}
	switch {
	case isModel:
		s.v2Model(c, w, name)
	case len(path) == 0 || string(path) == "/":
		writeJSON(c, fasthttp.StatusOK, v2Server{"gavel", cmp.Or(s.options.Version, "0"), []string{"binary_tensor_data"}})
	case string(path) == "/health/live":
		writeJSON(c, fasthttp.StatusOK, map[string]bool{"live": true})
	case string(path) == "/health/ready":
		ready := s.ready()
		writeReady(c, ready, map[string]any{"ready": ready})
	default:
		writeError(c, fasthttp.StatusNotFound, "the paths below /v2 are /health/live, /health/ready, and /models/{model}, with or without /versions/{n}, "+
			"followed by /infer (POST), /ready or nothing (GET)")
	}
}

func writeReady(c *fasthttp.RequestCtx, ready bool, answer any) {
	status := fasthttp.StatusOK
	if !ready {
		status = fasthttp.StatusServiceUnavailable
	}
	writeJSON(c, status, answer)
}

// ready says whether every model can score: a version serves, or is loaded when the model is asked for.
func (s *Server) ready() bool {
	for _, name := range s.models.Names() {
		m := s.models.Find(name)
		if m == nil { // gone meanwhile
			continue
		}
		if !canScore(m, 0) {
			return false
		}
	}
	return true
}

// canScore says whether the version with that number can score, or any if it is 0. It loads nothing.
func canScore(m Model, number int64) bool {
	for _, v := range m.Versions() { // before Acquire, which would have it loaded
		if v.State == scoring.StateStart && (number == 0 || v.Version == number) {
			return true
		}
	}
	v, err := m.Acquire(number)
	if err != nil {
		return false
	}
	v.Release()
	return true
}

// v2Model describes a model, or says whether it is ready.
func (s *Server) v2Model(c *fasthttp.RequestCtx, w *work, name []byte) {
	name, asksReady := bytes.CutSuffix(name, []byte(v2Ready))
	t, err := s.find(name)
	if err != nil {
		writeError(c, fasthttp.StatusNotFound, err.Error())
		return
	}
	if asksReady {
		can := canScore(t.model, t.version)
		writeReady(c, can, map[string]any{"name": string(t.name), "ready": can})
		return
	}
	v, err := t.model.AcquireBy(t.version, httpd.Received(c).Add(s.options.Timeout))
	if err != nil {
		writeFault(c, classify(err), err)
	} else {
		w.version = v
		writeJSON(c, fasthttp.StatusOK, v2ModelOf(t, v))
	}
}

func v2ModelOf(t target, v Version) *v2Model {
	m := &v2Model{Name: string(t.name), Versions: []string{}, Platform: platforms[v.Format()], Labels: v.Labels()}
	all := t.model.Versions()
	slices.SortFunc(all, func(a, b scoring.VersionStatus) int { return cmp.Compare(a.Version, b.Version) })
	for _, known := range all {
		if known.State == scoring.StateAvailable {
			m.Versions = append(m.Versions, strconv.FormatInt(known.Version, 10))
		}
	}
	schema := v.Schema()
	for _, f := range schema.Inputs {
		m.Inputs = append(m.Inputs, v2Tensor{f.Name, wire(f.Type).String(), v2Shape(-1, &f)})
	}
	for i, f := range schema.Outputs {
		m.Outputs = append(m.Outputs, v2Tensor{f.Name, outputType(schema, v.Labels(), i).String(), v2Shape(-1, &f)})
	}
	return m
}

// v2Shape is the shape of so many rows of a field.
func v2Shape(rows int, f *engine.Field) []int {
	if f.Width == 1 {
		return []int{rows}
	}
	return []int{rows, f.Width}
}

// outputType is the type of output i as it is answered: that of the labels if it is a class.
func outputType(schema *engine.Schema, labels []any, i int) datatype {
	if isClass(&schema.Outputs[i], labels) {
		switch labels[0].(type) {
		case string:
			return typeBYTES
		case int64:
			return typeINT64
		default:
			return typeFP64
		}
	}
	return wire(schema.Outputs[i].Type)
}

// infer answers an inference request.
func (s *Server) infer(c *fasthttp.RequestCtx, w *work, name []byte) (outcome, error) {
	v, deadline, o, err := s.acquire(c, name)
	if err != nil {
		return o, err
	}
	p := &w.part
	p.version = v
	body := c.Request.Body()
	header := len(body)
	if h := c.Request.Header.Peek(binaryName); len(h) > 0 {
		if header, err = strconv.Atoi(string(h)); err != nil || header < 0 || header > len(body) {
			return outcomeInvalid, fmt.Errorf("%s is %q; send how many of the body's %d bytes are JSON", binaryName, show(h), len(body))
		}
	}
	r := &w.infer
	if err := r.parse(&p.table, body, header, v.Schema(), s.options.MaxRows); err != nil {
		return s.unread(err)
	}
	if o, err := p.score(deadline); err != nil {
		return o, err
	}
	json, err := w.v2Answer(name, v)
	if err != nil {
		return outcomeFailed, err
	}
	contentType := contentJSON
	if json < len(w.out) {
		contentType = "application/octet-stream"
		c.Response.Header.Set(binaryName, strconv.Itoa(json))
	}
	c.Response.Header.SetContentType(contentType)
	c.Response.SetBody(w.out)
	s.metrics.rows.Add(float64(p.table.n))
	return outcomeOK, nil
}

// v2Answer writes the answer into w.out, and returns how many bytes of it are JSON. Binary tensors follow.
func (w *work) v2Answer(path []byte, v Version) (json int, err error) {
	r, o := &w.infer, &w.part.outputs
	name, _, _ := bytes.Cut(path, []byte(versionsInfix))
	out := append(appendText(append(w.out[:0], `{"model_name":`...), string(name)), `,"model_version":"`...)
	out = append(strconv.AppendInt(out, v.Version(), 10), '"')
	if r.id != nil {
		out = append(append(out, `,"id":`...), r.id...)
	}
	out = append(out, `,"outputs":[`...)
	var tail []byte
	for k, want := range r.wanted {
		f, of := &o.schema.Outputs[want.output], outputType(o.schema, o.labels, want.output)
		if k > 0 {
			out = append(out, ',')
		}
		out = append(appendText(append(out, `{"name":`...), f.Name), `,"shape":[`...)
		out = strconv.AppendInt(out, int64(o.n), 10)
		if f.Width > 1 {
			out = strconv.AppendInt(append(out, ','), int64(f.Width), 10)
		}
		out = append(append(append(out, `],"datatype":"`...), of.String()...), '"')
		if want.binary {
			before := len(tail)
			if tail, err = o.appendBinary(tail, want.output); err != nil {
				return 0, err
			}
			out = strconv.AppendInt(append(out, `,"parameters":{"binary_data_size":`...), int64(len(tail)-before), 10)
			out = append(out, "}}"...)
			continue
		}
		if out, err = o.appendFlat(append(out, `,"data":`...), want.output); err != nil {
			return 0, err
		}
		out = append(out, '}')
	}
	out = append(out, "]}"...)
	w.out = append(out, tail...)
	return len(out), nil
}

// appendFlat appends all values of output i in one list.
func (o *outputs) appendFlat(out []byte, i int) ([]byte, error) {
	if o.columns[i].Width == 1 {
		return o.appendColumn(out, i)
	}
	var err error
	out = append(out, '[')
	for k := range o.n * o.columns[i].Width {
		if k > 0 {
			out = append(out, ',')
		}
		if out, err = o.appendNumber(out, i, k); err != nil {
			return out, err
		}
	}
	return append(out, ']'), nil
}

// appendBinary appends all values of output i as bytes, little-endian; a text is its length in 4 bytes, then its bytes.
func (o *outputs) appendBinary(out []byte, i int) ([]byte, error) {
	if !isClass(&o.schema.Outputs[i], o.labels) {
		for _, v := range o.columns[i].Float32 {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		for _, v := range o.columns[i].Float64 {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
		}
		return out, nil
	}
	for row := range o.n {
		label, err := o.label(i, row)
		if err != nil {
			return out, err
		}
		switch l := label.(type) {
		case string:
			out = append(binary.LittleEndian.AppendUint32(out, uint32(len(l))), l...)
		case int64:
			out = binary.LittleEndian.AppendUint64(out, uint64(l))
		case float64:
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(l))
		}
	}
	return out, nil
}
