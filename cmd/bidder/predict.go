package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/models"
	"gavel/internal/predict"
	"gavel/internal/process"
)

// startPredict serves the models' predictions beside auctions, if it is told where.
func (b *bidder) startPredict(context.Context) error {
	c := b.config.Predict
	if c.Listen == "" {
		return nil
	}
	models := map[string]predict.Model{b.config.Models.Click: predicted{b.click}}
	if b.conversion != nil {
		models[b.config.Models.Conversion] = predicted{b.conversion}
	}
	limits := b.config.Limits
	server, err := predict.NewServer(models, predict.Options{
		Timeout: c.Timeout, MaxBody: c.BodyBytes, MaxRows: c.Rows, MaxConnections: c.Connections,
		ReadTimeout: limits.ReadTimeout, WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		Logger: b.log, Registerer: b.metrics,
	})
	if err != nil {
		return err
	}
	listener, err := process.Listen("predict.listen", c.Listen)
	if err != nil {
		return err
	}
	go func() { // ends with Shutdown
		if err := server.Serve(listener); err != nil {
			b.fail(fmt.Errorf("bidder: the predictions' port ended: %w", err))
		}
	}()
	b.onStop("predict", drainTimeout, server.Shutdown)
	b.log.Info("serving predictions", "listen", c.Listen)
	return nil
}

// predictFaults are the faults of predict's settings.
func (c *Config) predictFaults(fault func(format string, args ...any)) {
	p := c.Predict
	if _, _, err := process.SplitPort(p.Listen); p.Listen != "" && err != nil {
		fault("predict.listen: %q is not host:port; write 127.0.0.1:8094, say, or nothing", p.Listen)
	}
	if p.Timeout < time.Millisecond || p.Timeout > predict.MaxTimeout {
		fault("predict.timeout: %v must be 1ms to %v", p.Timeout, predict.MaxTimeout)
	}
	for _, model := range c.served() {
		if room := c.batching(model).queue.QueueRows; p.Listen != "" && p.Rows > room {
			fault("predict.rows: %d is more than the queue of %s holds (%d); raise batcher.queue_rows, or its own", p.Rows, model, room)
		}
	}
	for key, value := range map[string]int{
		"predict.body_bytes": p.BodyBytes, "predict.rows": p.Rows, "predict.connections": p.Connections,
	} {
		if value <= 0 {
			fault("%s: must be above 0", key)
		}
	}
}

// predicted implements predict.Model over a manager.
type predicted struct{ manager *models.Manager }

// Acquire implements predict.Model.
func (p predicted) Acquire(number int64) (predict.Version, error) {
	s, err := p.manager.AcquireVersion(number)
	switch {
	case err == nil:
		return predictedVersion{s}, nil
	case errors.Is(err, models.ErrOtherVersion):
		return nil, fmt.Errorf("%w: %w", predict.ErrUnknownVersion, err)
	default:
		return nil, fmt.Errorf("%w: %w", predict.ErrNoVersion, err)
	}
}

// Versions implements predict.Model.
func (p predicted) Versions() []predict.VersionStatus {
	st := p.manager.Status()
	var all []predict.VersionStatus
	known := map[int64]bool{0: true} // 0: the pointer names none
	add := func(number int64, state predict.State, why string) {
		if !known[number] {
			known[number] = true
			all = append(all, predict.VersionStatus{Version: number, State: state, Error: why})
		}
	}
	for _, v := range []*models.VersionStatus{st.Stable, st.Canary} {
		if v != nil {
			add(v.Version, predict.StateAvailable, "")
		}
	}
	for _, r := range st.Refused {
		add(r.Version, predict.StateEnd, r.Error)
	}
	add(st.Pointer.Stable, predict.StateLoading, "")
	if st.Pointer.Canary != nil {
		add(st.Pointer.Canary.Version, predict.StateLoading, "")
	}
	return all
}

// predictedVersion implements predict.Version over a version and its queue.
type predictedVersion struct{ *models.Servable }

// Shape implements predict.Version.
func (v predictedVersion) Shape() (rowLen, tableRows int) {
	return v.Manifest().RowLen, v.Manifest().TableRows
}

// Signature implements predict.Version.
func (v predictedVersion) Signature() predict.Signature {
	return predict.Signature(v.Manifest().Signature)
}

// Score implements predict.Version.
func (v predictedVersion) Score(rows []int32, deadline time.Time, results []predict.Result) error {
	return scoreRows(v.Attached().(*prepared).queue, v.Manifest().RowLen, rows, deadline, results)
}

// claimRows writes n rows of a size into the queue's open batches. The ticket is not committed.
func claimRows(queue *batcher.Queue, size int, rows []int32, n int, deadline time.Time) (*batcher.Ticket, error) {
	ticket, err := queue.Claim(n, deadline)
	if err != nil {
		return nil, predictError(err)
	}
	written := false
	defer func() {
		if !written { // a panic: rows that are never committed hold their batch for ever
			ticket.Abandon()
		}
	}()
	for i := range n {
		copy(ticket.Row(i), rows[i*size:(i+1)*size])
	}
	written = true
	return ticket, nil
}

// scoreRows has rows of a size join the queue's batches, and waits for them.
func scoreRows(queue *batcher.Queue, size int, rows []int32, deadline time.Time, results []predict.Result) error {
	ticket, err := claimRows(queue, size, rows, len(results), deadline)
	if err != nil {
		return err
	}
	var few [16]batcher.Result // most requests need no more
	answers := few[:min(len(results), len(few))]
	if len(results) > len(few) {
		answers = make([]batcher.Result, len(results))
	}
	err = ticket.Wait(context.Background(), answers)
	passOn(answers, results)
	return predictError(err)
}

// Start implements predict.Version.
func (v predictedVersion) Start(rows []int32, n int, deadline time.Time, done predict.Receiver) bool {
	queue := v.Attached().(*prepared).queue
	if !queue.Crowded() {
		return false
	}
	startRows(queue, v.Manifest().RowLen, rows, n, deadline, done)
	return true
}

// startRows has n rows of a size join the queue's batches, and done told of their results.
func startRows(queue *batcher.Queue, size int, rows []int32, n int, deadline time.Time, done predict.Receiver) {
	ticket, err := claimRows(queue, size, rows, n, deadline)
	if err != nil {
		done.Scored(nil, err)
		return
	}
	s := startedRows.Get().(*started)
	s.done = done
	s.answers = slices.Grow(s.answers[:0], n)[:n]
	s.results = slices.Grow(s.results[:0], n)[:n]
	ticket.Then(s)
}

// started are rows that nobody waits for: it passes their results on.
type started struct {
	done    predict.Receiver
	answers []batcher.Result
	results []predict.Result
}

var startedRows = sync.Pool{New: func() any { return new(started) }}

// Answered implements batcher.Receiver.
func (s *started) Answered(t *batcher.Ticket) {
	err := t.Collect(s.answers)
	s.done.Scored(passOn(s.answers, s.results), predictError(err))
	clear(s.answers) // errors
	clear(s.results)
	s.done = nil
	startedRows.Put(s)
}

// passOn writes answers into results, and returns these.
func passOn(answers []batcher.Result, results []predict.Result) []predict.Result {
	for i, a := range answers {
		results[i] = predict.Result{Probability: a.Probability, Err: predictError(a.Err)}
	}
	return results
}

// predictError maps the batcher's errors to those that predict branches on.
func predictError(err error) error {
	if err == nil {
		return nil
	}
	for _, to := range [...]struct{ from, to error }{
		{batcher.ErrShed, predict.ErrShed}, {batcher.ErrExpired, predict.ErrExpired}, {batcher.ErrRow, predict.ErrRow},
		{batcher.ErrClosed, predict.ErrClosed},
	} {
		if errors.Is(err, to.from) {
			return fmt.Errorf("%w: %w", to.to, err)
		}
	}
	return err
}
