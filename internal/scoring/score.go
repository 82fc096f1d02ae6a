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
// of a conversion too. Where a model has no version, candidates that need it are not ok, except those that pay per
// impression: their value needs no prediction. auction.ErrNoModel is returned if no model has a version.
func (s *Scorer) Score(ctx context.Context, req *auction.Request, candidates []auction.Candidate, out []auction.Prediction, ok []bool) error {
	w := s.scratch.Get().(*work)
	defer s.scratch.Put(w)
	defer w.release()
	w.pick(s, candidates)
	if err := w.claim(s, req, candidates); err != nil {
		return err
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	for i := range candidates {
		out[i], ok[i] = auction.Prediction{Conversion: 1}, true
	}
	for i := range w.n {
		s.hand(&w.asked[i], candidates, out, ok)
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

// claim takes places in batches of every model and encodes rows there. Several tickets are committed, so that their batches
// run side by side; a single one is left to Wait, which may run it in this goroutine.
func (w *work) claim(s *Scorer, req *auction.Request, candidates []auction.Candidate) error {
	key, claimed := versionKey(req), 0
	var missing error
	for i := range w.n {
		a := &w.asked[i]
		switch err := a.claim(s.find(a.model), key, req, candidates); {
		case errors.Is(err, auction.ErrNoModel):
			missing = cmp.Or(missing, err)
		case err != nil:
			return err
		default:
			claimed++
		}
	}
	if claimed == 0 {
		return missing
	}
	if claimed > 1 {
		for i := range w.n {
			if t := w.asked[i].ticket; t != nil {
				t.Commit()
			}
		}
	}
	return nil
}

// claim acquires the version that serves key, claims a row for each pick, and encodes them; the ticket is not committed.
func (a *asked) claim(model source, key uint64, req *auction.Request, candidates []auction.Candidate) error {
	if model == nil {
		return fmt.Errorf("%w: model %q is not served", auction.ErrNoModel, a.model)
	}
	version, err := model.Acquire(key)
	if err != nil {
		return fmt.Errorf("%w: %w", auction.ErrNoModel, err)
	}
	a.version = version
	ticket, err := version.queue.Claim(len(a.picked), req.Deadline)
	if err != nil {
		return scoringError(err)
	}
	a.ticket = ticket
	a.results = slices.Grow(a.results[:0], len(a.picked))[:len(a.picked)]
	rows := version.encoder.Begin(req)
	for at, p := range a.picked {
		rows.Encode(&candidates[p.candidate], ticket.Row(at))
	}
	rows.End()
	return nil
}

// wait fills the results of every model. It returns an error if a model answered no row; a refused row is in the results
// alone.
func (w *work) wait(ctx context.Context) error {
	var faults error
	for i := range w.n {
		a := &w.asked[i]
		if a.ticket == nil {
			continue
		}
		err := a.ticket.Wait(ctx, a.results)
		a.ticket = nil
		answered := func(r batcher.Result) bool { return r.Err == nil || errors.Is(r.Err, batcher.ErrRow) }
		if err != nil && !slices.ContainsFunc(a.results, answered) {
			faults = errors.Join(faults, scoringError(err))
		}
	}
	return faults
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
			s.refused.Warn(s.log, "a row was not scored", "model", a.model, "error", r.Err) // the domain only counts it
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
