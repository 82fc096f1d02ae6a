package rank

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"gavel/internal/events"
	"gavel/internal/events/notices"
	"gavel/internal/httpd"
	"gavel/internal/rank/explore"
	"gavel/internal/rank/profile"
)

// click answers GET /click: it sends the user to the landing page of the campaign that the policy chooses. A person waits. So
// whatever fails, the answer is a landing page, unless no campaign is active. HEAD is refused, because a link preview must
// not count.
func (w *work) click(c *fasthttp.RequestCtx, d *deadline) outcome {
	s := w.server
	if !c.IsGet() {
		c.Response.Header.Set("Allow", "GET")
		writeError(c, fasthttp.StatusMethodNotAllowed, "use GET for a click")
		return outcomeMethod
	}
	c.Response.Header.Set("Cache-Control", "no-store")
	set := s.options.Campaigns()
	if set.Len() == 0 {
		writeError(c, fasthttp.StatusServiceUnavailable, "no campaign is active")
		return outcomeNoCampaign
	}
	now := httpd.Received(c)
	w.readClick(c, now)
	w.by = s.options.ClickBy
	w.candidates.all(set)

	w.hold()
	defer w.release()
	p := s.plans.decompose(set, w.views)
	partial, err := w.gather(d, p)
	if err != nil {
		s.failed.Warn(s.options.Logger, "click not ranked, sent to any campaign", "error", err)
	}
	w.sort(1)
	choice := w.choose(s.options.ClickPolicy, p)
	s.metrics.scored.Add(float64(len(w.logits) - w.unscored))

	o := outcomeOK
	switch {
	case err != nil:
		o = outcomeFailed
	case partial != "":
		s.metrics.countPartial(partial)
		o = outcomePartial
	}
	id := newID()
	token, err := s.options.Keys.Token(events.TypeSale, &notices.Claims{Bid: id, Campaign: set.IDs[choice.Arm], Issued: now})
	if err != nil { // ids are bounded, so this is a fault of ours; the user goes on without
		s.failed.Warn(s.options.Logger, "no token for a click", "error", err)
		o = outcomeFailed
	}
	if err := w.publish(d, id, now, p, choice); err != nil {
		s.unstored.Warn(s.options.Logger, "click not stored, redirected all the same", "error", err)
		s.metrics.unstored.Inc()
	}
	w.out = set.AppendPage(w.out[:0], int32(choice.Arm), token)
	c.Response.Header.SetBytesV(fasthttp.HeaderLocation, w.out)
	c.SetStatusCode(fasthttp.StatusFound)
	s.metrics.choices[choice.Policy].Inc()
	return o
}

// readClick makes the profile of a click: the parameters of its URL take precedence over its headers. Other parameters are not
// Gavel's and not read.
func (w *work) readClick(c *fasthttp.RequestCtx, now time.Time) {
	o, q := &w.server.options, &w.request.source
	q.Reset(o.Profiles.Extra(), now)
	q.UserAgent = text(c.Request.Header.UserAgent())
	q.Language = text(c.Request.Header.Peek(fasthttp.HeaderAcceptLanguage))
	if o.CountryHeader != "" {
		q.Country = text(c.Request.Header.Peek(o.CountryHeader))
	}
	for name, value := range c.QueryArgs().All() {
		switch name := text(name); name {
		case profile.UserAgent, profile.Time: // a link cannot know them
		default:
			o.Profiles.Set(q, name, text(value))
		}
	}
	w.profile = o.Profiles.Read(w.profile, q, &w.lower)
	w.obey(c)
}

// text is b as a text. It is valid while the request is.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// publish puts the click on the stream and waits until it is stored, or ctx ends.
func (w *work) publish(ctx context.Context, id string, now time.Time, p *plan, choice explore.Choice) error {
	w.names, w.values = w.names[:0], w.values[:0]
	for i := range w.profile {
		w.names, w.values = append(w.names, w.profile[i].Name), append(w.values, w.stored(i))
	}
	by := w.scorer(p, choice.Arm)
	ranking := events.Ranking{
		Policy: string(choice.Policy), Propensity: choice.Propensity,
		Version: by.Version, Prior: by.Prior, Fields: w.names, Values: w.values,
	}
	if logit := w.logits[choice.Arm]; logit == logit { // not NaN
		ranking.Probability = probability(logit)
	}
	return w.server.options.Publisher.PublishDurable(ctx, &events.Event{
		ID: events.EventID(events.TypeRanking, id), Type: events.TypeRanking, Key: id, Time: now.UnixMilli(),
		Campaign: p.set.IDs[w.candidates.place(choice.Arm)], Ranking: &ranking,
	})
}

// newID returns a new id of a click: 22 letters, digits, - or _.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the process where no randomness can be had
	return base64.RawURLEncoding.EncodeToString(b[:])
}
