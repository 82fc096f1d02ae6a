package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"gavel/internal/process"
)

// running is the child that a handler or preparer has now, for those who look at it or kill it from outside.
type running struct {
	mu    sync.Mutex
	child *process.Child // nil while there is none
}

func (r *running) set(c *process.Child) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.child = c
}

func (r *running) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child == nil {
		return 0
	}
	return r.child.PID
}

func (r *running) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.child != nil {
		r.child.Kill()
	}
}

// talk is a child with the frames to and from it. Only one goroutine uses it.
type talk struct {
	child   *process.Child
	frames  *frameWriter
	answers *answerReader
}

// open starts a child in a role, and waits for its hello.
func (p *Pool) open(role string, nice int, r *running) (*talk, error) {
	command := []string{p.o.Python, "-m", "pytrain.workers", role}
	child, err := process.StartChild(command, process.ChildOptions{Owner: "workers", Dir: p.o.Dir, Nice: nice,
		Memory: p.o.ProcessMemory, Log: p.o.Log.With("role", role)})
	if err != nil {
		return nil, err
	}
	t := &talk{child, newFrameWriter(), newAnswerReader(child.Stdout)}
	r.set(child)
	greeted := make(chan struct{})
	go func() { // ends with the hello: a process that is still starting has nothing to stop in order
		select {
		case <-p.stop:
			child.Kill()
		case <-greeted:
		}
	}()
	hello, err := t.answer(p.o.HelloTimeout, "hello")
	close(greeted)
	if err == nil && hello.Protocol != Protocol {
		err = fmt.Errorf("workers: the %s speaks protocol %d, this program %d; install one version of Gavel", role, hello.Protocol, Protocol)
	}
	if err != nil {
		t.end(r)
		return nil, err
	}
	if hello.Threads != 1 {
		p.o.Log.Warn("a numerical library of a worker keeps its threads; cores may be oversubscribed", "threads", hello.Threads)
	}
	p.o.Log.Info("a Python process is up", "role", role, "pid", child.PID, "scikit_learn", hello.Sklearn)
	return t, nil
}

// send writes a frame.
func (t *talk) send(frame []byte, within time.Duration) error {
	if err := t.child.Stdin.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return fmt.Errorf("workers: cannot write to process %d: %w", t.child.PID, err)
	}
	if _, err := t.child.Stdin.Write(frame); err != nil {
		return fmt.Errorf("workers: cannot write to process %d: %w", t.child.PID, err)
	}
	return nil
}

// answer reads the next answer, which must be of that type.
func (t *talk) answer(within time.Duration, kind string) (*answer, error) {
	if err := t.child.Stdout.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, fmt.Errorf("workers: cannot read from process %d: %w", t.child.PID, err)
	}
	a, err := t.answers.next()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("workers: process %d gave no %s within %v", t.child.PID, kind, within)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("workers: process %d ended before its %s; its log lines may say why", t.child.PID, kind)
	case err != nil:
		return nil, err
	case a.Type != kind:
		return nil, fmt.Errorf("workers: process %d answered %q, awaited was %s", t.child.PID, a.Type, kind)
	}
	return a, nil
}

// stopInOrder asks the child to end, and kills it where it has not within a few seconds.
func (t *talk) stopInOrder() {
	if frame, err := t.frames.stop(); err == nil {
		_ = t.send(frame, time.Second) // closing stdin asks for the same
	}
	_ = t.child.Stdin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = t.child.Wait(ctx)
}

// end kills the child if it still runs, and frees what it had.
func (t *talk) end(r *running) {
	t.child.Kill()
	<-t.child.Exited
	r.set(nil)
	t.child.Close()
}

// restarts says how long to wait before a process is started again: longer after each short life.
type restarts struct {
	short int
	began time.Time
}

const (
	firstRestart = 100 * time.Millisecond
	lastRestart  = 10 * time.Second
)

func (r *restarts) next(now time.Time) time.Duration {
	if now.Sub(r.began) > lastRestart {
		r.short = 0
	}
	wait := min(firstRestart<<min(r.short, 10), lastRestart)
	r.short++
	return wait
}
