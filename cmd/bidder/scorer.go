package main

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
	"gavel/internal/models"
	"gavel/internal/throttle"
)

// scorer implements auction.Scorer: it encodes candidates by the active version's own feature spec, straight into the
// open batch of that version's queue, and waits for the results. Claims of both models are made before either is waited
// for, so that their runs overlap. Safe for concurrent use.
type scorer struct {
	click      acquire
	conversion acquire // nil: no model of conversions
	log        *slog.Logger
	refused    throttle.Line
	scratch    sync.Pool // *scoring
}

// acquire hands out the version of a model that serves key; an error means that none does.
type acquire func(key uint64) (version, error)

// version is what a scorer needs of a *models.Servable; Attached is a *prepared.
type version interface {
	Version() int64
	Attached() any
	Release()
}

// managed acquires from m; nil from a nil manager.
func managed(m *models.Manager) acquire {
	if m == nil {
		return nil
	}
	return func(key uint64) (version, error) {
		v, err := m.Acquire(key)
		if err != nil {
			return nil, err // not a nil *Servable in the interface
		}
		return v, nil
	}
}

func newScorer(click, conversion acquire, log *slog.Logger) *scorer {
	s := &scorer{click: click, conversion: conversion, log: log}
	s.scratch.New = func() any { return new(scoring) }
	return s
}

// scoring is one auction's working memory.
type scoring struct {
	click, conversion asked
	clicks, converted []int // indices into candidates that go to each model
}

// asked is one model's part of an auction.
type asked struct {
	version version
	ticket  *batcher.Ticket
	results []batcher.Result // one for each row claimed
}

var keySeed = maphash.MakeSeed()

// versionKey decides who gets a canary: a user always or never; where the user is unknown, each auction anew, so that the
// share holds there too.
func versionKey(req *auction.Request) uint64 {
	return maphash.String(keySeed, cmp.Or(req.User.ID, req.User.BuyerUID, req.ID))
}

// Score implements auction.Scorer. Candidates whose goal is CPA are asked of both models, the others of the click model
// only.
func (s *scorer) Score(ctx context.Context, req *auction.Request, candidates []auction.Candidate, out []auction.Prediction, ok []bool) error {
	w := s.scratch.Get().(*scoring)
	defer s.scratch.Put(w)
	w.clicks, w.converted = w.clicks[:0], w.converted[:0]
	for i := range candidates {
		w.clicks = append(w.clicks, i)
		if candidates[i].Campaign.Goal.Kind == auction.CPA {
			w.converted = append(w.converted, i)
		}
	}
	key := versionKey(req)
	defer w.click.release()
	defer w.conversion.release()
	if err := w.click.claim(s.click, key, req, candidates, w.clicks); err != nil {
		return err
	}
	withConversion := len(w.converted) > 0 && s.conversion != nil
	if withConversion {
		switch err := w.conversion.claim(s.conversion, key, req, candidates, w.converted); {
		case errors.Is(err, auction.ErrNoModel):
			withConversion = false // campaigns that pay per click or impression still bid
		case err != nil:
			return err
		default: // Both begin before either is waited for. A ticket alone is left to Wait, which may run it in this goroutine.
			w.click.ticket.Commit()
			w.conversion.ticket.Commit()
		}
	}
	clickErr := w.click.wait(ctx)
	var conversionErr error
	if withConversion {
		conversionErr = w.conversion.wait(ctx)
	}
	if err := errors.Join(clickErr, conversionErr); err != nil {
		return err
	}
	for at, i := range w.clicks {
		r := w.click.results[at]
		out[i] = auction.Prediction{Click: r.Probability, Conversion: 1, ClickVersion: w.click.version.Version()}
		ok[i] = r.Err == nil
		s.note(r.Err)
	}
	for at, i := range w.converted {
		if !withConversion {
			ok[i] = false
			continue
		}
		r := w.conversion.results[at]
		out[i].Conversion, out[i].ConversionVersion = r.Probability, w.conversion.version.Version()
		ok[i] = ok[i] && r.Err == nil
		s.note(r.Err)
	}
	return nil
}

// note logs a refused row: the domain only counts it.
func (s *scorer) note(err error) {
	if err != nil {
		s.refused.Warn(s.log, "a row was not scored", "error", err)
	}
}

// claim acquires the active version, takes a place in its batch for each of the picked candidates, and encodes them there;
// the ticket is not committed.
func (a *asked) claim(model acquire, key uint64, req *auction.Request, candidates []auction.Candidate, picked []int) error {
	version, err := model(key)
	if err != nil {
		return fmt.Errorf("%w: %w", auction.ErrNoModel, err)
	}
	a.version = version
	p := version.Attached().(*prepared)
	ticket, err := p.queue.Claim(len(picked), req.Deadline)
	if err != nil {
		return scoringError(err)
	}
	a.ticket = ticket
	a.results = slices.Grow(a.results[:0], len(picked))[:len(picked)]
	rows := p.encoder.Begin(req)
	for at, i := range picked {
		rows.Encode(&candidates[i], ticket.Row(at))
	}
	rows.End()
	return nil
}

// wait fills results. It returns an error only if no row was answered: a refused row is in results alone.
func (a *asked) wait(ctx context.Context) error {
	err := a.ticket.Wait(ctx, a.results)
	a.ticket = nil
	if err == nil || slices.ContainsFunc(a.results, func(r batcher.Result) bool { return r.Err == nil || errors.Is(r.Err, batcher.ErrRow) }) {
		return nil
	}
	return scoringError(err)
}

// release gives back what claim took; it may be called whatever claim and wait did.
func (a *asked) release() {
	if a.ticket != nil {
		a.ticket.Abandon()
		a.ticket = nil
	}
	if a.version != nil {
		a.version.Release()
		a.version = nil
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
