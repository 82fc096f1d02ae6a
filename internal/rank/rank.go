package rank

import (
	"slices"

	"github.com/valyala/fasthttp"

	"gavel/internal/httpd"
	"gavel/internal/rank/explore"
)

// rank answers POST /rank.
func (w *work) rank(c *fasthttp.RequestCtx, d *deadline) outcome {
	s := w.server
	if !c.IsPost() {
		c.Response.Header.Set("Allow", "POST")
		writeError(c, fasthttp.StatusMethodNotAllowed, "use POST for a ranking")
		return outcomeMethod
	}
	w.request.source.Reset(s.options.Profiles.Extra(), httpd.Received(c))
	if err := w.decode(c.Request.Body()); err != nil {
		writeError(c, fasthttp.StatusBadRequest, err.Error())
		return outcomeInvalid
	}
	set := s.options.Campaigns()
	if err := w.check(set); err != nil {
		writeError(c, fasthttp.StatusBadRequest, err.Error())
		return outcomeInvalid
	}
	w.profile = s.options.Profiles.Read(w.profile, &w.request.source, &w.lower)
	w.obey(c)

	w.hold()
	defer w.release()
	p := s.plans.decompose(set, w.views)
	partial, err := w.gather(d, p)
	if err != nil {
		s.failed.Warn(s.options.Logger, "ranking failed", "error", err)
		writeError(c, fasthttp.StatusServiceUnavailable, "the campaigns could not be scored; see the ranker's log")
		return outcomeFailed
	}
	w.sort(w.request.limit)
	var choice explore.Choice
	if s.options.Policy != explore.Best && len(w.best) > 0 {
		choice = w.choose(s.options.Policy, p)
		w.putFirst(choice.Arm)
	}
	w.encode(p, partial, choice)
	c.Response.Header.SetContentType(contentJSON)
	c.Response.SetBody(w.out)
	s.metrics.scored.Add(float64(len(w.logits) - w.unscored))
	if partial != "" {
		s.metrics.countPartial(partial)
		return outcomePartial
	}
	return outcomeOK
}

// putFirst moves the candidate that a policy chose to the front; the others stay in their order. If the answer has no room, the
// last one leaves it.
func (w *work) putFirst(position int) {
	at := slices.IndexFunc(w.best, func(e entry) bool { return e.position == position })
	if at < 0 {
		at = len(w.best) - 1
	}
	copy(w.best[1:at+1], w.best[:at])
	w.best[0] = entry{position: position}
}
