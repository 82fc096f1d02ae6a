package scoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"

	"gavel/internal/auction"
	"gavel/internal/batcher"
	"gavel/internal/throttle"
)

// Scorer implements auction.Scorer over the models of a process. It encodes each candidate by the active version's own
// recipe, straight into the open batch of that version's queue, and waits for the results. An auction's rows are claimed
// from every model before one of them is waited for, so that runs overlap. Safe for concurrent use.
type Scorer struct {
	find       func(name string) source // nil: not served
	click      string
	conversion string
	log        *slog.Logger
	refused    throttle.Line
	scratch    sync.Pool // *work
}

// source is what a Scorer needs of a *Model.
type source interface {
	Acquire(key uint64) (*Version, error)
}

// NewScorer scores by the named models, which are for campaigns that name none of their own. conversion is "" where the
// process serves no model of conversions.
func NewScorer(models *Models, click, conversion string, log *slog.Logger) *Scorer {
	return newScorer(func(name string) source {
		if m := models.Find(name); m != nil {
			return m
		}
		return nil // not a nil *Model in the interface
	}, click, conversion, log)
}

func newScorer(find func(name string) source, click, conversion string, log *slog.Logger) *Scorer {
	s := &Scorer{find: find, click: click, conversion: conversion, log: log}
	s.scratch.New = func() any { return new(work) }
	return s
}

// work is one auction's working memory.
type work struct {
	asked []asked // models, each once; those beyond n are memory of earlier auctions
	n     int
}

// asked is one model's part of an auction.
type asked struct {
	model   string
	picked  []pick
	version *Version // nil: none is loaded
	ticket  *batcher.Ticket
	results []batcher.Result // one for each pick
}

// pick is one row: a candidate, and what of it is predicted.
type pick struct {
	candidate  int
	conversion bool
}

var keySeed = maphash.MakeSeed()

// versionKey decides who gets a canary: a user always or never. Where the user is unknown, each auction decides anew, so
// that the share holds there too.
func versionKey(req *auction.Request) uint64 {
	return maphash.String(keySeed, cmp.Or(req.User.ID, req.User.BuyerUID, req.ID))
}

// Score implements auction.Scorer. Every candidate has its probability of a click predicted, and one whose goal is CPA that
// of a conversion too. A model that fails costs only the candidates that need it: they are not ok. Where a model has no
// version, those that pay per impression stay ok: their value needs no prediction. An error is returned only if no
// candidate is left and a model failed: auction.ErrShed or auction.ErrExpired if one did for that, auction.ErrNoModel if
// all of those that failed have no version.
func (s *Scorer) Score(ctx context.Context, req *auction.Request, candidates []auction.Candidate, out []auction.Prediction, ok []bool) error {
	w := s.scratch.Get().(*work)
	defer s.scratch.Put(w)
	defer w.release()
	w.pick(s, candidates)
	for i := range candidates {
		out[i], ok[i] = auction.Prediction{Conversion: 1}, true
	}
	missing, failed := w.claim(s, req, candidates)
	for i := range w.n {
		if a := &w.asked[i]; a.ticket == nil {
			s.hand(a, candidates, out, ok)
		}
	}
	if !slices.Contains(ok, true) { // then no row need be run
		return cmp.Or(failed, missing)
	}
	w.commit()
	for i := range w.n {
		if a := &w.asked[i]; a.ticket != nil {
			failed = errors.Join(failed, a.wait(ctx))
			s.hand(a, candidates, out, ok)
		}
	}
	if failed != nil && !slices.Contains(ok, true) {
		return failed
	}
	return nil
}

// pick sorts rows by the model that predicts them.
func (w *work) pick(s *Scorer, candidates []auction.Candidate) {
	w.n = 0
	for i := range candidates {
		c := candidates[i].Campaign
		w.add(cmp.Or(c.Models.Click, s.click), pick{candidate: i})
		if c.Goal.Kind == auction.CPA {
			w.add(cmp.Or(c.Models.Conversion, s.conversion), pick{candidate: i, conversion: true})
		}
	}
}

func (w *work) add(model string, p pick) {
	for i := range w.n {
		if a := &w.asked[i]; a.model == model {
			a.picked = append(a.picked, p)
			return
		}
	}
	if w.n == len(w.asked) {
		w.asked = append(w.asked, asked{})
	}
	a := &w.asked[w.n]
	a.model, a.picked = model, append(a.picked[:0], p)
	w.n++
}

// claim takes places in batches of every model and encodes rows there. Of the models that gave no ticket it returns one
// that has no version, and the faults of the others.
func (w *work) claim(s *Scorer, req *auction.Request, candidates []auction.Candidate) (missing, failed error) {
	key := versionKey(req)
	for i := range w.n {
		a := &w.asked[i]
		switch err := a.claim(s.find(a.model), key, req, candidates); {
		case err == nil:
		case errors.Is(err, auction.ErrNoModel):
			missing = err
		default:
			failed = errors.Join(failed, err)
		}
	}
	return missing, failed
}

// commit hands several tickets over, so that their batches run side by side. A single one is left to Wait, which may run it
// in this goroutine.
func (w *work) commit() {
	tickets := 0
	for i := range w.n {
		if w.asked[i].ticket != nil {
			tickets++
		}
	}
	for i := range w.n {
		if t := w.asked[i].ticket; t != nil && tickets > 1 {
			t.Commit()
		}
	}
}

// claim acquires the version that serves key, claims a row for each pick, and encodes them; the ticket is not committed. If
// the version takes no rows, that is the result of each.
func (a *asked) claim(model source, key uint64, req *auction.Request, candidates []auction.Candidate) error {
	if model == nil {
		return fmt.Errorf("%w: model %q is not served", auction.ErrNoModel, a.model)
	}
	version, err := model.Acquire(key)
	if err != nil {
		return fmt.Errorf("%w: %w", auction.ErrNoModel, err)
	}
	a.version = version
	a.results = slices.Grow(a.results[:0], len(a.picked))[:len(a.picked)]
	ticket, err := version.queue.Claim(len(a.picked), req.Deadline)
	if err != nil {
		for at := range a.results {
			a.results[at] = batcher.Result{Err: err}
		}
		return scoringError(err)
	}
	a.ticket = ticket
	rows := version.encoder.Begin(req)
	for at, p := range a.picked {
		rows.Encode(&candidates[p.candidate], ticket.Row(at))
	}
	rows.End()
	return nil
}

// wait fills the results. It returns an error if no row was answered; a refused row is in the results alone.
func (a *asked) wait(ctx context.Context) error {
	err := a.ticket.Wait(ctx, a.results)
	a.ticket = nil
	answered := func(r batcher.Result) bool { return r.Err == nil || errors.Is(r.Err, batcher.ErrRow) }
	if err == nil || slices.ContainsFunc(a.results, answered) {
		return nil
	}
	return scoringError(err)
}

// hand writes one model's results to the candidates that they are of.
func (s *Scorer) hand(a *asked, candidates []auction.Candidate, out []auction.Prediction, ok []bool) {
	for at, p := range a.picked {
		i := p.candidate
		if a.version == nil {
			ok[i] = ok[i] && candidates[i].Campaign.Goal.Kind == auction.CPM
			continue
		}
		r, number := a.results[at], a.version.Version()
		if p.conversion {
			out[i].Conversion, out[i].ConversionVersion = r.Probability, number
		} else {
			out[i].Click, out[i].ClickVersion = r.Probability, number
		}
		if r.Err != nil {
			ok[i] = false
			if !errors.Is(r.Err, batcher.ErrShed) && !errors.Is(r.Err, batcher.ErrExpired) { // overload, which metrics tell
				s.refused.Warn(s.log, "a row was not scored", "model", a.model, "error", r.Err) // the domain only counts it
			}
		}
	}
}

// release gives back what was claimed and acquired, however far the auction came.
func (w *work) release() {
	for i := range w.n {
		a := &w.asked[i]
		if a.ticket != nil {
			a.ticket.Abandon()
			a.ticket = nil
		}
		if a.version != nil {
			a.version.Release()
			a.version = nil
		}
		clear(a.results) // errors
	}
}

// scoringError maps the batcher's errors to those that the domain branches on.
func scoringError(err error) error {
	switch {
	case errors.Is(err, batcher.ErrShed):
		return fmt.Errorf("%w: %w", auction.ErrShed, err)
	case errors.Is(err, batcher.ErrExpired):
		return fmt.Errorf("%w: %w", auction.ErrExpired, err)
	default:
		return err
	}
}
