package predict

import (
	"errors"
	"fmt"
	"slices"

	"github.com/valyala/fasthttp"

	"gavel/internal/auction"
	"gavel/internal/httpd"
	"gavel/internal/scoring"
)

// candidates is the memory of a request that scores candidates of a bid request:
//
//	{"request": {OpenRTB bid request}, "candidates": [{"imp": "1", "campaign": "c7"}, …]} → {"predictions": [0.1, …]}
//
// "creative" may name one of the campaign's creatives. Without it, the one that an auction would take is taken. "exchange"
// beside "request" names the exchange, as the bidder's address does.
type candidates struct {
	scanner
	refusals
	maxRows  int
	body     []byte // the bid request
	exchange string
	pairs    []pair
	raw      auction.Raw
	request  *auction.Request // what the law allows of raw
	all      []auction.Candidate
	results  []scoring.Result
}

// pair is what names a candidate.
type pair struct{ imp, campaign, creative string }

// candidates answers a request of that form. The model's version must have a recipe.
func (s *Server) candidates(c *fasthttp.RequestCtx, w *work, name []byte) (outcome, error) {
	v, deadline, o, err := s.acquire(c, name)
	if err != nil {
		return o, err
	}
	w.version = v
	r := &w.score
	if err := r.parse(c.Request.Body(), s.options.MaxRows); err != nil {
		return s.unread(err)
	}
	if r.request, err = s.options.Auctions.Decode(r.body, r.exchange, httpd.Received(c), &r.raw); err != nil {
		return outcomeInvalid, err
	}
	if err := r.find(s.options.Auctions); err != nil {
		return outcomeInvalid, err
	}
	r.results = grown(r.results, len(r.all))
	if err := v.ScoreCandidates(r.request, r.all, deadline, r.results); err != nil {
		return classify(err), unscored(err, r.results)
	}
	w.request.columnar = false
	w.answer(r.results)
	c.Response.Header.SetContentType(contentJSON)
	c.Response.SetBody(w.out)
	s.metrics.rows.Add(float64(len(r.results)))
	return outcomeOK, nil
}

// parse reads a body. It keeps a part of data, until trim.
func (r *candidates) parse(data []byte, maxRows int) error {
	r.scanner, r.refusals, r.maxRows = scanner{data: data}, refusals{faults: r.faults[:0]}, maxRows
	r.body, r.exchange, r.pairs = nil, "", r.pairs[:0]
	given := false
	err := r.object(func() error {
		key, err := r.key("request", "candidates", "exchange")
		switch {
		case err != nil:
			return err
		case key == "request" && r.body != nil, key == "candidates" && given:
			return fmt.Errorf("%q is given twice", key)
		case key == "request":
			if r.next() != '{' {
				return r.unexpected("an OpenRTB bid request")
			}
			r.body, err = r.value()
			return err
		case key == "candidates":
			given = true
			return r.list("a list of candidates", r.candidate)
		case key == "exchange":
			return r.id(&r.exchange)
		}
		return fmt.Errorf(`the body has key %q; "request", "candidates" and "exchange" are accepted`, show(key))
	})
	if err == nil {
		err = r.end()
	}
	switch {
	case err != nil:
		return err
	case r.body == nil:
		return errors.New(`the body has no "request"; send {"request": {OpenRTB bid request}, "candidates": [{"imp": "…", "campaign": "…"}, …]}`)
	case len(r.pairs) == 0:
		return errors.New(`the body has no candidates; send at least one, {"imp": "…", "campaign": "…"}`)
	}
	return nil
}

// candidate reads what names one candidate.
func (r *candidates) candidate() error {
	if len(r.pairs) == r.maxRows {
		return errTooManyRows
	}
	var p pair
	var imp, campaign bool
	err := r.object(func() error {
		key, err := r.key("imp", "campaign", "creative")
		if err != nil {
			return err
		}
		var to *string
		switch key {
		case "imp":
			to, imp = &p.imp, true
		case "campaign":
			to, campaign = &p.campaign, true
		case "creative":
			to = &p.creative
		default:
			return fmt.Errorf(`candidate %d has key %q; "imp", "campaign" and "creative" are accepted`, len(r.pairs), show(key))
		}
		return r.id(to)
	})
	if err == nil && !(imp && campaign) {
		err = fmt.Errorf(`candidate %d lacks "imp" or "campaign"`, len(r.pairs))
	}
	r.pairs = append(r.pairs, p)
	return err
}

// id reads a text.
func (r *candidates) id(to *string) (err error) {
	if r.next() != '"' {
		return r.unexpected("an id, a text,")
	}
	*to, err = r.text()
	return err
}

// find makes the candidates that the pairs name.
func (r *candidates) find(auctions Auctions) error {
	r.all = slices.Grow(r.all[:0], len(r.pairs))
	for i := range r.pairs {
		p := &r.pairs[i]
		candidate, err := auctions.Candidate(r.request, p.imp, p.campaign, p.creative)
		if err != nil {
			r.refuse("candidate %d: %v", i, err)
			continue
		}
		r.all = append(r.all, candidate)
	}
	if r.refused > 0 {
		return fmt.Errorf("%d of %d candidates are refused (they are numbered from 0): %s", r.refused, len(r.pairs), r.faults)
	}
	return nil
}

// trim drops what refers to the last request and its campaigns.
func (r *candidates) trim() {
	if cap(r.pairs) > 0 {
		*r = candidates{}
	}
}
