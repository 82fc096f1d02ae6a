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

// Scorer implements auction.Scorer with the models of a process. It encodes each candidate with the recipe of the version
// that scores it, straight into an open batch of that version's queue. If an auction needs several models, the Scorer
// claims rows from all of them before it waits for one, so that their runs overlap. Safe for concurrent use.
type Scorer struct {
	find       func(name string) source // returns nil if the process does not serve the model
	click      string                   // default model of P(click)
	conversion string                   // default model of P(conversion | click); "" if there is none
	log        *slog.Logger
	unscored   throttle.Line
	works      sync.Pool // *work
}

// source is the part of *Model that a Scorer needs. Tests replace it.
type source interface {
	Acquire(key uint64) (*Version, error)
}

// NewScorer returns a Scorer that reports unscored rows to log. Campaigns that name no models of their own are scored by
// the models click and conversion; conversion is "" if the process serves no model of conversions.
func NewScorer(models *Models, click, conversion string, log *slog.Logger) *Scorer {
	return newScorer(func(name string) source {
		if m := models.Find(name); m != nil {
			return m
		}
		return nil // a nil *Model in the interface would not equal nil
	}, click, conversion, log)
}

func newScorer(find func(name string) source, click, conversion string, log *slog.Logger) *Scorer {
	s := &Scorer{find: find, click: click, conversion: conversion, log: log}
	s.works.New = func() any { return new(work) }
	return s
}

// work is the memory that scoring one auction needs. Later auctions reuse it.
type work struct {
	models []modelRows // the first n are in use, each model once; the others keep their memory for reuse
	n      int
}

// modelRows is the part of an auction that one model scores.
type modelRows struct {
	model   string
	rows    []row
	version *Version // nil: no version is loaded
	ticket  *batcher.Ticket
	results []batcher.Result // one for each row
}

// row is one prediction: P(click) of a candidate, or its P(conversion | click).
type row struct {
	candidate  int // index
	conversion bool
}

var keySeed = maphash.MakeSeed()

// versionKey returns the key that decides whether the stable version or the canary scores. One user always gets the same.
// If the user is unknown, the key is the auction's, so that the canary's share also holds for unknown users.
func versionKey(req *auction.Request) uint64 {
	return maphash.String(keySeed, cmp.Or(req.User.ID, req.User.BuyerUID, req.ID))
}

// Score implements auction.Scorer. It predicts P(click) for every candidate, and P(conversion | click) for those whose
// goal is CPA. If a model fails, only the candidates that need it are not ok. If a model has no version, candidates with
// the goal CPM stay ok, because their value needs no prediction.
//
// Score returns an error only if no candidate is ok and a model failed. The error wraps auction.ErrShed or
// auction.ErrExpired if a model failed for that reason. It is auction.ErrNoModel if no failed model has a version.
func (s *Scorer) Score(ctx context.Context, req *auction.Request, candidates []auction.Candidate, out []auction.Prediction, ok []bool) error {
	w := s.works.Get().(*work)
	defer s.works.Put(w)
	defer w.release()
	w.group(s, candidates)
	for i := range candidates {
		out[i], ok[i] = auction.Prediction{Conversion: 1}, true
	}
	missing, failed := w.claim(s, req, candidates)
	for i := range w.n {
		if m := &w.models[i]; m.ticket == nil {
			s.fill(m, candidates, out, ok)
		}
	}
	if !slices.Contains(ok, true) { // no row needs to run
		return cmp.Or(failed, missing)
	}
	w.commit()
	for i := range w.n {
		if m := &w.models[i]; m.ticket != nil {
			failed = errors.Join(failed, m.wait(ctx))
			s.fill(m, candidates, out, ok)
		}
	}
	if failed != nil && !slices.Contains(ok, true) {
		return failed
	}
	return nil
}

// group makes the rows of an auction, grouped by the model that scores them.
func (w *work) group(s *Scorer, candidates []auction.Candidate) {
	w.n = 0
	for i := range candidates {
		c := candidates[i].Campaign
		w.add(cmp.Or(c.Models.Click, s.click), row{candidate: i})
		if c.Goal.Kind == auction.CPA {
			w.add(cmp.Or(c.Models.Conversion, s.conversion), row{candidate: i, conversion: true})
		}
	}
}

func (w *work) add(model string, r row) {
	for i := range w.n {
		if m := &w.models[i]; m.model == model {
			m.rows = append(m.rows, r)
			return
		}
	}
	if w.n == len(w.models) {
		w.models = append(w.models, modelRows{})
	}
	m := &w.models[w.n]
	m.model, m.rows = model, append(m.rows[:0], r)
	w.n++
}

// claim claims the rows of every model, and encodes them. It returns two errors: missing is auction.ErrNoModel if a model
// has no version, and failed joins the errors of the other models that gave no ticket.
func (w *work) claim(s *Scorer, req *auction.Request, candidates []auction.Candidate) (missing, failed error) {
	key := versionKey(req)
	for i := range w.n {
		m := &w.models[i]
		switch err := m.claim(s.find(m.model), key, req, candidates); {
		case err == nil:
		case errors.Is(err, auction.ErrNoModel):
			missing = err
		default:
			failed = errors.Join(failed, err)
		}
	}
	return missing, failed
}

// commit commits the tickets if there are several, so that their batches run concurrently. It leaves a single ticket to
// Wait, which may then run the batch in this goroutine.
func (w *work) commit() {
	tickets := 0
	for i := range w.n {
		if w.models[i].ticket != nil {
			tickets++
		}
	}
	for i := range w.n {
		if t := w.models[i].ticket; t != nil && tickets > 1 {
			t.Commit()
		}
	}
}

// claim acquires the version that serves key, claims the rows, and encodes them; it does not commit the ticket. If the
// version has no recipe or its queue accepts no rows, claim returns why, and makes it the result of every row.
func (m *modelRows) claim(model source, key uint64, req *auction.Request, candidates []auction.Candidate) error {
	if model == nil {
		return fmt.Errorf("%w: model %q is not served", auction.ErrNoModel, m.model)
	}
	version, err := model.Acquire(key)
	if err != nil {
		return fmt.Errorf("%w: %w", auction.ErrNoModel, err)
	}
	m.version = version
	m.results = slices.Grow(m.results[:0], len(m.rows))[:len(m.rows)]
	var ticket *batcher.Ticket
	if err = version.auctionable(); err == nil {
		ticket, err = version.queue.Claim(len(m.rows), req.Deadline)
	}
	if err != nil {
		for i := range m.results {
			m.results[i] = batcher.Result{Err: err}
		}
		return scoringError(err)
	}
	m.ticket = ticket
	encoding := version.encoder.Begin(req)
	for i, r := range m.rows {
		encoding.Encode(&candidates[r.candidate], ticket.Row(i))
	}
	encoding.End()
	return nil
}

// wait fills the results. It returns an error if the version neither scored nor refused any row. A refusal is only in the
// results, because it concerns one row and not the model.
func (m *modelRows) wait(ctx context.Context) error {
	err := m.ticket.Wait(ctx, m.results)
	m.ticket = nil
	answered := func(r batcher.Result) bool { return r.Err == nil || errors.Is(r.Err, batcher.ErrRow) }
	if err == nil || slices.ContainsFunc(m.results, answered) {
		return nil
	}
	return scoringError(err)
}

// fill writes the results of one model into out and ok.
func (s *Scorer) fill(m *modelRows, candidates []auction.Candidate, out []auction.Prediction, ok []bool) {
	for k, row := range m.rows {
		i := row.candidate
		if m.version == nil {
			ok[i] = ok[i] && candidates[i].Campaign.Goal.Kind == auction.CPM
			continue
		}
		r, number := m.results[k], m.version.Version()
		if row.conversion {
			out[i].Conversion, out[i].ConversionVersion = r.Probability, number
		} else {
			out[i].Click, out[i].ClickVersion = r.Probability, number
		}
		if r.Err != nil {
			ok[i] = false
			// Overload shows in the metrics. Other errors are logged here, because the auctioneer only counts such rows.
			if !errors.Is(r.Err, batcher.ErrShed) && !errors.Is(r.Err, batcher.ErrExpired) {
				s.unscored.Warn(s.log, "a row was not scored", "model", m.model, "error", r.Err)
			}
		}
	}
}

// release abandons open tickets and releases versions. It runs however Score ends, a panic included.
func (w *work) release() {
	for i := range w.n {
		m := &w.models[i]
		if m.ticket != nil {
			m.ticket.Abandon()
			m.ticket = nil
		}
		if m.version != nil {
			m.version.Release()
			m.version = nil
		}
		clear(m.results) // so that the pool keeps no row's error
	}
}

// scoringError wraps the batcher's errors in the domain's: ErrShed and ErrExpired.
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
