package predict

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/bytedance/sonic"
	"github.com/valyala/fasthttp"

	"gavel/internal/engine"
	"gavel/internal/httpd"
	"gavel/internal/scoring"
)

// The answers of TensorFlow Serving: its protobuf messages in JSON.

type failure struct {
	Error string `json:"error"`
}

type modelStatus struct {
	Versions []versionState `json:"model_version_status"`
}

type versionState struct {
	Version string        `json:"version"`
	State   scoring.State `json:"state"`
	Status  struct {
		Code    string `json:"error_code"`
		Message string `json:"error_message"`
	} `json:"status"`
}

type modelMetadata struct {
	Spec struct {
		Name      string `json:"name"`
		Signature string `json:"signature_name"`
		Version   string `json:"version"`
	} `json:"model_spec"`
	Metadata struct {
		Map struct {
			Signatures map[string]signatureDef `json:"signature_def"`
		} `json:"signature_def"`
		// Columns are an addition to TensorFlow Serving's answer, for formats that have no signature.
		Columns *columnsInfo `json:"columns,omitempty"`
	} `json:"metadata"`
}

type columnsInfo struct {
	Inputs  []columnInfo `json:"inputs"` // in the model's order
	Outputs []columnInfo `json:"outputs"`
	Labels  []any        `json:"labels,omitempty"` // the classes, in the order of the columns of probability
}

type columnInfo struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Width   int    `json:"width"`             // a row holds a value if it is 1, else a list of so many
	Missing *bool  `json:"missing,omitempty"` // whether null is accepted
}

type signatureDef struct {
	Inputs  map[string]tensorInfo `json:"inputs"`
	Outputs map[string]tensorInfo `json:"outputs"`
	Method  string                `json:"method_name"`
}

type tensorInfo struct {
	Type  string      `json:"dtype"`
	Shape tensorShape `json:"tensor_shape"`
	Name  string      `json:"name"`
}

type tensorShape struct {
	Dim         []dimension `json:"dim"`
	UnknownRank bool        `json:"unknown_rank"`
}

type dimension struct {
	Size string `json:"size"`
	Name string `json:"name"`
}

// describe answers requests for a model's status or metadata. path is the path without its prefix.
func (s *Server) describe(c *fasthttp.RequestCtx, w *work, path []byte) {
	if !c.IsGet() && !c.IsHead() {
		c.Response.Header.Set("Allow", "GET, HEAD")
		writeError(c, fasthttp.StatusMethodNotAllowed, "use GET for this path; the path of a prediction (POST) ends in "+predictVerb+" or "+scoreVerb)
		return
	}
	path, metadata := bytes.CutSuffix(path, []byte(metadataTail))
	t, err := s.find(path)
	if errors.Is(err, errMalformed) {
		writeError(c, fasthttp.StatusBadRequest, err.Error())
		return
	}
	if err != nil {
		writeError(c, fasthttp.StatusNotFound, err.Error())
		return
	}
	if !metadata {
		status(c, t)
		return
	}
	if v, err := t.model.AcquireBy(t.version, httpd.Received(c).Add(s.options.Timeout)); err != nil {
		writeFault(c, classify(err), err)
	} else {
		w.version = v
		writeJSON(c, fasthttp.StatusOK, metadataOf(string(t.name), v))
	}
}

// status answers with all versions of a model, the newest first, or with the version that the path names.
func status(c *fasthttp.RequestCtx, t target) {
	all := t.model.Versions()
	slices.SortFunc(all, func(a, b scoring.VersionStatus) int { return cmp.Compare(b.Version, a.Version) })
	answer := modelStatus{Versions: []versionState{}}
	for _, v := range all {
		if t.version != 0 && v.Version != t.version {
			continue
		}
		state := versionState{Version: strconv.FormatInt(v.Version, 10), State: v.State}
		state.Status.Code, state.Status.Message = "OK", v.Error
		if v.Error != "" {
			state.Status.Code = "FAILED_PRECONDITION"
		}
		answer.Versions = append(answer.Versions, state)
	}
	if t.version != 0 && len(answer.Versions) == 0 {
		writeError(c, fasthttp.StatusNotFound, fmt.Sprintf("model %s has no version %d", t.name, t.version))
		return
	}
	writeJSON(c, fasthttp.StatusOK, answer)
}

func metadataOf(model string, v Version) *modelMetadata {
	signature, schema, labels := v.Signature(), v.Schema(), v.Labels()
	if v.Format() != scoring.FormatSavedModel { // another format serves, with names of its own
		signature = scoring.Signature{}
	}
	def := signatureDef{Inputs: map[string]tensorInfo{}, Outputs: map[string]tensorInfo{}, Method: "tensorflow/serving/predict"}
	for _, f := range schema.Inputs {
		name, tensor := cmp.Or(signature.Input, f.Name), cmp.Or(signature.InputTensor, f.Name)
		def.Inputs[name] = tensorInfo{Type: tensorType(wire(f.Type)), Name: tensor, Shape: shapeInfo(&f, signature.Input != "")}
	}
	for i, f := range schema.Outputs {
		name, tensor := cmp.Or(signature.Output, f.Name), cmp.Or(signature.OutputTensor, f.Name)
		def.Outputs[name] = tensorInfo{Type: tensorType(outputType(schema, labels, i)), Name: tensor, Shape: shapeInfo(&f, false)}
	}
	m := new(modelMetadata)
	m.Spec.Name, m.Spec.Version = model, strconv.FormatInt(v.Version(), 10)
	m.Metadata.Map.Signatures = map[string]signatureDef{cmp.Or(signature.Name, defaultSignature): def}
	if v.Format() != scoring.FormatSavedModel {
		m.Metadata.Columns = columnsOf(schema, labels)
	}
	return m
}

// shapeInfo is the shape of a field: rows, and values a row if there are several or lists is true.
func shapeInfo(f *engine.Field, lists bool) tensorShape {
	dim := []dimension{{Size: "-1"}}
	if f.Width > 1 || lists {
		dim = append(dim, dimension{Size: strconv.Itoa(f.Width)})
	}
	return tensorShape{Dim: dim}
}

// tensorType is TensorFlow's name of a type.
func tensorType(d datatype) string {
	switch d {
	case typeFP64:
		return "DT_DOUBLE"
	case typeFP32:
		return "DT_FLOAT"
	case typeINT32:
		return "DT_INT32"
	case typeINT64:
		return "DT_INT64"
	default:
		return "DT_STRING"
	}
}

func columnsOf(schema *engine.Schema, labels []any) *columnsInfo {
	all := &columnsInfo{Labels: labels}
	for _, f := range schema.Inputs {
		missing := mayMiss(f.Type)
		all.Inputs = append(all.Inputs, columnInfo{f.Name, f.Type.String(), f.Width, &missing})
	}
	for i, f := range schema.Outputs {
		of := f.Type.String()
		if isClass(&f, labels) {
			of = map[datatype]string{typeBYTES: "text", typeINT64: "int64", typeFP64: "float64"}[outputType(schema, labels, i)]
		}
		all.Outputs = append(all.Outputs, columnInfo{f.Name, of, f.Width, nil})
	}
	return all
}

// writeFault answers a request that failed.
func writeFault(c *fasthttp.RequestCtx, o outcome, err error) {
	if errors.Is(err, scoring.ErrLoading) || o == outcomeShed {
		c.Response.Header.Set("Retry-After", "1")
	}
	writeError(c, statuses[o], err.Error())
}

// writeError answers with a status and a sentence for people.
func writeError(c *fasthttp.RequestCtx, status int, message string) {
	writeJSON(c, status, failure{message})
}

func writeJSON(c *fasthttp.RequestCtx, status int, answer any) {
	data, err := sonic.ConfigStd.Marshal(answer)
	if err != nil { // cannot happen: the answers are structs of strings
		status = fasthttp.StatusInternalServerError
	}
	c.SetStatusCode(status)
	c.Response.Header.SetContentType("application/json")
	c.Response.SetBody(data)
}
