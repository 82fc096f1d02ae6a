package batcher

import (
	"context"
	"time"
)

// Pool owns the runner threads and the clock that its queues share.
type Pool struct{}

// NewPool starts the runners.
func NewPool(o PoolOptions) (*Pool, error) { panic("soon") }

// NewQueue makes a queue for engine, and its batches.
func (p *Pool) NewQueue(engine Engine, o QueueOptions) (*Queue, error) { panic("soon") }

// Stats of the pool and each of its queues.
func (p *Pool) Stats() PoolStats { panic("soon") }

// Close closes every queue, then ends the runners and the clock.
func (p *Pool) Close(ctx context.Context) error { panic("soon") }

// Queue fills and flushes the batches of one engine.
type Queue struct{}

// Claim takes n places. A zero deadline means none. ErrShed, ErrExpired, ErrClosed.
func (q *Queue) Claim(n int, deadline time.Time) (*Ticket, error) { panic("soon") }

// Stats is a snapshot.
func (q *Queue) Stats() Stats { panic("soon") }

// Close takes no more claims, answers all rows, frees all batches. When ctx ends first, rows not yet running get ErrClosed.
func (q *Queue) Close(ctx context.Context) error { panic("soon") }

// Ticket is one caller's n places; used by one goroutine, and gone after Wait or Abandon, one of which must be called.
type Ticket struct{}

// Row is row i, zeroed, to be written until Commit or Wait.
func (t *Ticket) Row(i int) []int32 { panic("soon") }

// Commit hands the rows over, checked; Wait does it otherwise. Commit all tickets of an auction before the first Wait.
func (t *Ticket) Commit() { panic("soon") }

// Wait blocks until all rows are answered, the deadline passes or ctx ends; out must be n long. The error is the first row's error, nil if all have a probability.
func (t *Ticket) Wait(ctx context.Context, out []Result) error { panic("soon") }

// Abandon gives the places up unscored.
func (t *Ticket) Abandon() { panic("soon") }
