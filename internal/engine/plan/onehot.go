package plan

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gavel/internal/engine"
)

// OneHot is a plan that is linear over texts: the logit of its second class is
//
//	Intercept + Σ over inputs of the weight of the input's text, Other where it has none
//
// as it is of a pipeline of OneHotEncoder and LogisticRegression.
type OneHot struct {
	Intercept float64
	Inputs    []OneHotInput // those that it reads, in the plan's order
}

// OneHotInput is a text input.
type OneHotInput struct {
	Name    string
	Values  []string // ascending by bytes
	Weights []float64
	Other   float64
}

// ErrNotOneHot is that a plan is sound, but not linear over texts.
var ErrNotOneHot = errors.New("plan: it is not linear over texts")

// ReadOneHot reads a plan that is linear over texts: Version.Dir is the folder of plan.msgpack. Nothing of it stays in memory but the
// result. A plan of another kind is ErrNotOneHot, which names the node that is no part of such a model; a damaged one wraps
// engine.ErrLoad, as from Loader.
func ReadOneHot(ctx context.Context, objects *Objects, v engine.Version) (*OneHot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, h, err := read(objects, v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrLoad, err)
	}
	defer h.release()
	if _, err := newChecker(h).check(p); err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrLoad, err)
	}
	r := &oneHotReader{p: p, known: make([][]contribution, len(p.inputs))}
	if err := r.readPlan(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOneHot, err)
	}
	return r.result(), nil
}

// oneHotReader goes from the plan's output to its inputs, and takes the weights along: those of what a node gives become those of what
// it reads.
type oneHotReader struct {
	p         *document
	intercept float64
	known     [][]contribution // by input
}

// contribution is what one lookup of an input adds.
type contribution struct {
	weights map[string]float64
	other   float64
}

// node returns the node that gives a value; nil if it is an input.
func (r *oneHotReader) node(value int) *node {
	if value < len(r.p.inputs) {
		return nil
	}
	return r.p.nodes[value-len(r.p.inputs)]
}

// not is that a value is no part of such a model.
func (r *oneHotReader) not(value int) error {
	if n := r.node(value); n != nil {
		return fmt.Errorf("%v is no part of a linear model over one-hot texts", n)
	}
	return fmt.Errorf("input %q is read as a number; one-hot texts are needed", r.p.inputs[value].Name)
}

func (r *oneHotReader) readPlan() error {
	at := slices.IndexFunc(r.p.outputs, func(o output) bool { return o.name == "probability" })
	if at < 0 || len(r.p.labels) != 2 {
		return fmt.Errorf("it has %d classes; a classifier of two with probabilities is needed", len(r.p.labels))
	}
	link := r.node(r.p.outputs[at].value)
	if link == nil || link.op != "link" || link.set["kind"] != "binary" {
		return r.not(r.p.outputs[at].value)
	}
	n := r.node(link.reads[0])
	if n == nil || n.op != "linear" {
		return r.not(link.reads[0])
	}
	weights := []float64(nil)
	if n.lists != nil {
		weights, r.intercept = n.lists.dense(), float64(*n.lists.intercept())
	} else {
		weights, r.intercept = slices.Clone(values[float64](n.objects["coef"])), values[float64](n.objects["intercept"])[0]
	}
	if !allFinite(weights) || !allFinite([]float64{r.intercept}) {
		return fmt.Errorf("%v has a coefficient that is not finite", n)
	}
	return r.read(n.reads[0], weights)
}

// read takes the weights of a value's columns to what it is made of.
func (r *oneHotReader) read(value int, weights []float64) error {
	n := r.node(value)
	if n == nil {
		return r.not(value)
	}
	switch n.op {
	case "concat":
		for i, from := range n.reads {
			w := n.in[i].width
			if err := r.read(from, weights[:w]); err != nil {
				return err
			}
			weights = weights[w:]
		}
		return nil
	case "dense", "finite":
		return r.read(n.reads[0], weights)
	case "select":
		of := make([]float64, n.in[0].width)
		for to, from := range integers(n.set["columns"]) {
			of[from] += weights[to]
		}
		return r.read(n.reads[0], of)
	case "mul", "div":
		by := values[float64](n.objects["value"])
		of := make([]float64, len(weights))
		for i, w := range weights {
			if of[i] = w * by[i]; n.op == "div" {
				of[i] = w / by[i]
			}
		}
		if !allFinite(of) {
			return fmt.Errorf("%v has a scale that is 0 or not finite", n)
		}
		return r.read(n.reads[0], of)
	case "expand":
		var tables [][]float64
		for _, size := range integers(n.set["sizes"]) {
			tables, weights = append(tables, weights[:size]), weights[size:]
		}
		return r.codes(n.reads[0], tables)
	}
	return r.not(value)
}

// codes takes tables, the weights by code of each column of a value, to its lookups.
func (r *oneHotReader) codes(value int, tables [][]float64) error {
	n := r.node(value)
	switch {
	case n == nil:
		return r.not(value)
	case n.op == "concat":
		for i, from := range n.reads {
			w := n.in[i].width
			if err := r.codes(from, tables[:w]); err != nil {
				return err
			}
			tables = tables[w:]
		}
		return nil
	case n.op != "lookup" || n.in[0].of != engine.Text || n.reads[0] >= len(r.p.inputs):
		return r.not(value)
	case n.set["unknown"] == nil:
		return fmt.Errorf("%v refuses rows with a text that it does not know; fit OneHotEncoder(handle_unknown=\"ignore\" or \"infrequent_if_exist\")", n)
	}
	weight := func(code float64) float64 {
		if code < 0 || code >= float64(len(tables[0])) || code != math.Trunc(code) {
			return 0
		}
		return tables[0][int(code)]
	}
	unknown, _ := asFloat(n.set["unknown"])
	c := contribution{weights: map[string]float64{}, other: weight(unknown)}
	bytes, offsets, codes := values[uint8](n.objects["bytes"]), values[uint32](n.objects["offsets"]), values[float64](n.objects["codes"])
	for i, code := range codes {
		if text := string(bytes[offsets[i]:offsets[i+1]]); text != missing { // no profile has a missing text: it is empty there
			c.weights[text] = weight(code)
		}
	}
	r.known[n.reads[0]] = append(r.known[n.reads[0]], c)
	return nil
}

// result sums up what the lookups of each input add.
func (r *oneHotReader) result() *OneHot {
	o := &OneHot{Intercept: r.intercept}
	for i, lookups := range r.known {
		if len(lookups) == 0 {
			continue
		}
		in := OneHotInput{Name: strings.Clone(r.p.inputs[i].Name)}
		sum := map[string]float64{}
		for _, c := range lookups {
			in.Other += c.other
			for text := range c.weights {
				sum[text] = 0
			}
		}
		for text := range sum {
			for _, c := range lookups {
				w, knows := c.weights[text]
				if !knows {
					w = c.other
				}
				sum[text] += w
			}
			in.Values = append(in.Values, text)
		}
		slices.Sort(in.Values)
		for _, text := range in.Values {
			in.Weights = append(in.Weights, sum[text])
		}
		o.Inputs = append(o.Inputs, in)
	}
	return o
}
