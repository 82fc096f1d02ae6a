package rank

import (
	"encoding/json"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"gavel/internal/auction"
	"gavel/internal/privacy"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/profile"
	"gavel/internal/rank/score"
)

// work is the memory of one request. The next request has the same.
type work struct {
	server  *Server
	scanner scanner
	request request
	lower   [profile.MaxValue]byte
	profile score.Profile
	signals auction.Signals
	verdict privacy.Verdict

	by         string // one of Orders
	candidates candidates
	views      []score.View // by model, as all of what follows of models
	results    []result
	priors     []prior
	scores     []float64 // logits by index of plan.classifiers
	index      []int32   // of named candidates, as plan.index
	asked      [][]int32 // those that have a classifier, as plan.asked
	logits     []float64 // by candidate; NaN: not scored
	unscored   int       // candidates whose logit is NaN
	best       []entry

	arms    explore.Arms
	scratch explore.Scratch
	names   []string // of the profile's fields, for an event
	values  []string
	out     []byte
}

// maxKept bounds the buffers that are kept for the next request, in bytes or elements, beyond what every ranking needs.
const maxKept = 64 << 10

// done puts w into the pool, without texts of the request.
func (w *work) done() {
	w.scanner.data = nil
	clear(w.request.names)
	clear(w.profile)
	clear(w.values)
	w.request.source.Reset(0, time.Time{})
	w.signals = auction.Signals{Sections: w.signals.Sections[:0]}
	clear(w.request.source.Extra[:cap(w.request.source.Extra)])
	w.candidates.set = nil
	if cap(w.scanner.escaped) > maxKept {
		w.scanner.escaped = nil
	}
	if cap(w.request.names) > maxKept {
		w.request.names, w.candidates.places = nil, nil
	}
	if cap(w.out) > maxKept {
		w.out = nil
	}
	w.arms.LogValues = nil
	w.server.work.Put(w)
}

// hold takes what each model serves now, until release.
func (w *work) hold() {
	models := w.server.options.Models
	w.views, w.results, w.priors = w.views[:0], slices.Grow(w.results[:0], len(models))[:len(models)], slices.Grow(w.priors[:0], len(models))[:len(models)]
	clear(w.priors)
	for _, m := range models {
		w.views = append(w.views, m.Scorer.View())
	}
	for len(w.asked) < len(models) {
		w.asked = append(w.asked, nil)
	}
}

func (w *work) release() {
	for _, v := range w.views {
		v.Release()
	}
	clear(w.views)
}

// choose has a policy choose one of the candidates. If none is scored, it is any, each alike.
func (w *work) choose(policy explore.Policy, p *plan) explore.Choice {
	best := -1
	if len(w.best) > 0 {
		best = w.best[0].position
	}
	if policy == explore.Thompson && best >= 0 {
		w.fillArms(p)
	}
	return w.server.options.Chooser.Choose(policy, w.candidates.len(), best, &w.arms, &w.scratch)
}

// fillArms tells the chooser of each candidate what Thompson needs.
func (w *work) fillArms(p *plan) {
	n := w.candidates.len()
	a := &w.arms
	a.Logits = w.logits
	a.Variances = slices.Grow(a.Variances[:0], n)[:n]
	for i := range n {
		a.Variances[i] = w.server.options.PriorVariance
		if index := p.index[w.candidates.place(i)]; index >= 0 {
			a.Variances[i] = p.classifiers[index].Variance
		}
	}
	a.LogValues = nil
	if w.by != string(byValue) {
		return
	}
	if !w.candidates.some {
		a.LogValues = p.set.LogValues
		return
	}
	a.LogValues = make([]float64, n)
	for i, place := range w.candidates.places {
		a.LogValues[i] = p.set.LogValues[place]
	}
}

// writeError answers with a status and {"error": "…"}.
func writeError(c *fasthttp.RequestCtx, status int, message string) {
	body, _ := json.Marshal(struct { // cannot fail: a struct of one string
		Error string `json:"error"`
	}{message})
	c.SetStatusCode(status)
	c.Response.Header.SetContentType(contentJSON)
	c.Response.SetBody(body)
}

const contentJSON = "application/json"

// panics counts and logs a panic. It must be called from the deferred function, so that the stack is the panic's.
func (s *Server) panics(cause any) {
	s.metrics.panics.Inc()
	if held, ok := s.panicked.Due(time.Now()); ok {
		s.options.Logger.Error("panic recovered", slog.String("where", "rank"), slog.Any("cause", cause),
			slog.String("stack", string(debug.Stack())), slog.Int64("not_logged", held))
	}
}
