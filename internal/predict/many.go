package predict

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bytedance/sonic"
	"github.com/valyala/fasthttp"

	"gavel/internal/scoring"
)

const (
	keyModels = "models"

	// keptParts is how many models' memory a pooled request keeps.
	keptParts = 8
)

// asked is one of the models that a request names.
type asked struct {
	name    string
	part    *part
	rows    *table // of this part, or of an earlier one with the same inputs
	outcome outcome
	err     error

	together bool // it is scored with the others, as one of them
	place    int
}

// predictMany scores the rows of one body with each of the models that it names, all at once:
//
//	{"models": ["a", "b/versions/3"], "instances": […]} → {"predictions": {"a": […], "b/versions/3": […]}}
//
// A row holds the columns of all the models. A model that fails is told under "errors", by its name; if all do, the request
// fails as the first does. Every row counts once for each model.
func (s *Server) predictMany(c *fasthttp.RequestCtx, w *work, _ []byte) (outcome, error) {
	body := c.Request.Body()
	deadline, err := s.deadline(c)
	if err != nil {
		return outcomeInvalid, err
	}
	names, err := modelsOf(body)
	if err != nil {
		return outcomeInvalid, err
	}
	if len(names) > s.options.MaxRows {
		return outcomeTooLarge, fmt.Errorf("the body names %d models; rows count once for each, and at most %d are answered at a time", len(names), s.options.MaxRows)
	}
	models := w.acquireAll(names, deadline)
	for i := range models {
		if models[i].err == nil {
			models[i].read(models, i, body, s.options.MaxRows/len(models))
		}
	}
	s.scoreAll(models, deadline)
	return s.answerMany(c, w, models)
}

// modelsOf reads the names of the models, each once.
func modelsOf(body []byte) (names []string, err error) {
	r := scanner{data: body}
	found := errors.New("found")
	err = r.object(func() error {
		key, err := r.key(keyModels, keyInstances, keyInputs)
		if err != nil {
			return err
		}
		if key != keyModels {
			_, err := r.value()
			return err
		}
		err = r.list("a list of the models' names", func() error {
			if r.next() != '"' {
				return r.unexpected("the name of a model")
			}
			name, err := r.text()
			if err == nil && slices.Contains(names, name) {
				err = fmt.Errorf("model %q is named twice", show(name))
			}
			names = append(names, name)
			return err
		})
		if err != nil {
			return err
		}
		return found // the rest is read with the rows
	})
	if err != nil && !errors.Is(err, found) {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New(`the body names no models; send {"models": ["…", …], "instances": […]}`)
	}
	return names, nil
}

// acquireAll acquires the version that each name stands for. Models that must be loaded first are loaded meanwhile, until the
// deadline.
func (w *work) acquireAll(names []string, deadline time.Time) []asked {
	models := make([]asked, len(names))
	for len(w.many) < len(names) {
		w.many = append(w.many, new(part))
	}
	for i, name := range names {
		a := &models[i]
		a.name, a.part = name, w.many[i]
		t, err := w.server.find([]byte(name))
		if err != nil {
			a.outcome, a.err = outcomeUnknown, err
			continue
		}
		if v, err := t.model.Acquire(t.version); err != nil {
			a.outcome, a.err = classify(err), err
		} else {
			a.part.version = v
		}
	}
	for i, name := range names { // now that all have been asked for
		a := &models[i]
		if !errors.Is(a.err, scoring.ErrLoading) {
			continue
		}
		if t, err := w.server.find([]byte(name)); err != nil {
			a.outcome, a.err = outcomeUnknown, err
		} else if v, err := t.model.AcquireBy(t.version, deadline); err != nil {
			a.outcome, a.err = classify(err), err
		} else {
			a.part.version, a.outcome, a.err = v, outcomeOK, nil
		}
	}
	return models
}

// read reads the rows of model i of all, unless an earlier model has the same inputs.
func (a *asked) read(all []asked, i int, body []byte, maxRows int) {
	schema := a.part.version.Schema()
	a.rows = &a.part.table
	a.rows.begin(body, schema, maxRows)
	for k := range all {
		other := &all[k]
		if other.part.version == nil || k == i {
			continue
		}
		theirs := other.part.version.Schema()
		if k < i && slices.Equal(theirs.Inputs, schema.Inputs) {
			a.rows, a.outcome, a.err = other.rows, other.outcome, other.err
			return
		}
		a.rows.others = append(a.rows.others, theirs)
	}
	switch err := a.rows.parse(); {
	case errors.Is(err, errTooManyRows):
		a.outcome = outcomeTooLarge
		a.err = fmt.Errorf("the body has more than %d rows, the most for %d models; send fewer at a time (or raise predict.rows)", maxRows, len(all))
	case err != nil:
		a.outcome, a.err = outcomeInvalid, err
	}
}

// scoreAll scores the rows with every model that has them.
func (s *Server) scoreAll(models []asked, deadline time.Time) {
	var together []Together
	var first *asked
	left := maxValues
	for i := range models {
		a := &models[i]
		if a.err != nil {
			continue
		}
		if first == nil {
			first = a
		}
		v, o := a.part.version, &a.part.outputs
		if a.rows.n != first.rows.n {
			a.outcome, a.err = outcomeInvalid, fmt.Errorf("its columns have %d rows, and those of model %s have %d; all need as many", a.rows.n, first.name, first.rows.n)
			continue
		}
		if a.err = o.begin(v, a.rows.n, left); a.err != nil {
			a.outcome = outcomeTooLarge
			continue
		}
		left -= o.values
		if slices.ContainsFunc(together, func(t Together) bool { return t.Version == v }) {
			a.outcome, a.err = a.part.scoreRows(a.rows, deadline) // under another name
			continue
		}
		a.place = len(together)
		together = append(together, Together{Version: v, Inputs: a.rows.columns, Outputs: o.columns, Errs: o.errs})
		a.together = true
	}
	if len(together) > 0 {
		s.models.ScoreTogether(together, first.rows.n, deadline)
	}
	for i := range models {
		a := &models[i]
		if a.together {
			a.outcome, a.err = a.part.scored(together[a.place].Err)
		}
		if a.err != nil && a.rows != nil {
			a.rows.lent = true
		}
	}
}

// answerMany writes what each model answered.
func (s *Server) answerMany(c *fasthttp.RequestCtx, w *work, models []asked) (outcome, error) {
	out, good, columnar := w.out[:0], 0, false
	for i := range models {
		a := &models[i]
		if a.err != nil {
			continue
		}
		before := len(out)
		if columnar = a.rows.columnar; good == 0 && columnar {
			out = append(out, `{"outputs":`...)
		} else if good == 0 {
			out = append(out, `{"predictions":`...)
		}
		out = appendKey(out, good == 0, a.name)
		if columnar {
			out, a.err = a.part.outputs.appendColumns(out)
		} else {
			out, a.err = a.part.outputs.appendRows(out)
		}
		if a.err != nil {
			a.outcome, out = outcomeFailed, out[:before]
			continue
		}
		good++
		s.metrics.rows.Add(float64(a.rows.n))
	}
	if w.out = out; good == 0 {
		return models[0].outcome, fmt.Errorf("model %s: %w", models[0].name, models[0].err)
	}
	out = append(out, '}')
	if good < len(models) {
		failed := map[string]string{}
		for i := range models {
			if a := &models[i]; a.err != nil {
				failed[a.name] = a.err.Error()
			}
		}
		told, err := sonic.ConfigStd.Marshal(failed)
		if err != nil {
			return outcomeFailed, err
		}
		out = append(append(out, `,"errors":`...), told...)
	}
	w.out = append(out, '}')
	c.Response.Header.SetContentType(contentJSON)
	c.Response.SetBody(w.out)
	return outcomeOK, nil
}
