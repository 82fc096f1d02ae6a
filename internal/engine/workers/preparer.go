package workers

import (
	"context"
	"fmt"
	"time"
)

// preparerNice is the niceness of preparers: serving takes precedence.
const preparerNice = 10

// preparer is a process that reads estimators, and the one goroutine that talks to it.
type preparer struct {
	pool    *Pool
	process running
	up      chan error // room for one: the outcome of the first start
	seq     uint64
}

// preparation is an estimator to read. The preparer that takes it sends one result.
type preparation struct {
	source *Source
	to     string
	result chan preparationResult // room for one
}

type preparationResult struct {
	answer *answer
	err    error
}

// read has an estimator read by the next preparer that is free.
func (p *Pool) read(ctx context.Context, s *Source, to string) (*answer, error) {
	job := &preparation{s, to, make(chan preparationResult, 1)}
	select {
	case p.sources <- job:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-p.stop:
		return nil, ErrClosed
	}
	select {
	case r := <-job.result:
		return r.answer, r.err
	case <-p.stop:
		return nil, ErrClosed
	}
}

// lifeLoop starts the process, again whenever it has died, until the pool closes.
func (r *preparer) lifeLoop() {
	p := r.pool
	wait := restarts{}
	for first := true; ; first = false {
		wait.began = time.Now()
		t, err := p.open("preparer", preparerNice, &r.process)
		if first {
			r.up <- err
		}
		if err == nil {
			err = r.serve(t)
			t.end(&r.process)
		}
		select {
		case <-p.stop:
			return
		default:
		}
		pause := wait.next(time.Now())
		p.o.Log.Warn("a preparer died; it is started again", "wait_ms", pause.Milliseconds(), "error", err)
		select {
		case <-p.stop:
			return
		case <-time.After(pause):
		}
	}
}

// serve passes estimators to the process until it dies, which is an error, or the pool closes.
func (r *preparer) serve(t *talk) error {
	p := r.pool
	for {
		select {
		case <-p.stop:
			t.stopInOrder()
			return nil
		case <-t.child.Exited:
			return fmt.Errorf("workers: process %d ended: %w", t.child.PID, t.child.Err)
		case job := <-p.sources:
			answer, err := r.prepare(t, job)
			if err != nil {
				job.result <- preparationResult{nil, fmt.Errorf("workers: %s: the preparer died while it read %s: %w", job.source.Name, job.source.Path, err)}
				return err
			}
			if answer.Error != "" {
				job.result <- preparationResult{nil, fmt.Errorf("workers: %s: cannot serve the estimator: %s", job.source.Name, answer.Error)}
				continue
			}
			job.result <- preparationResult{answer, nil}
		}
	}
}

func (r *preparer) prepare(t *talk, job *preparation) (*answer, error) {
	r.seq++
	frame, err := t.frames.prepare(r.seq, job.source, job.to)
	if err != nil {
		return nil, err
	}
	if err := t.send(frame, r.pool.o.PrepareTimeout); err != nil {
		return nil, err
	}
	a, err := t.answer(r.pool.o.PrepareTimeout, "prepared")
	if err != nil {
		return nil, err
	}
	if a.Seq != r.seq {
		return nil, fmt.Errorf("workers: the preparer answered number %d, awaited was %d", a.Seq, r.seq)
	}
	return a, nil
}
