package trainer

// This file is longer than most, because the four loops of an incarnation share its state.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/join"
	"gavel/internal/process"
	"gavel/internal/stream"
)

// incarnation is one life of the child, from its start to its end. Its loops end with ctx. The first fault of any loop
// cancels ctx, and its cause is what the incarnation returns.
//
// The stop: when the trainer's own context ends, feedLoop stops reading and sends the waiting rows and a stop frame. The child
// learns them, writes a checkpoint and ends, and answerLoop reads the end of its stdout. The loops share no locks. They
// communicate by the channels and atomics below.
type incarnation struct {
	p       *Pipeline
	log     *slog.Logger
	child   *process.Child
	answers *answerReader
	cancel  context.CancelCauseFunc

	messages chan events.Message // readLoop to feedLoop; buffers a few, so that reading and encoding overlap
	frames   chan frame          // feedLoop to writeLoop; its capacity QueueFrames bounds the memory of waiting frames

	stopping  atomic.Bool  // the stop frame was queued: the child is expected to end
	exporting atomic.Bool  // an export was asked for and not answered
	awaited   atomic.Int64 // checkpoints and exports asked for and not answered
	writing   atomic.Bool  // writeLoop is in a write
	alive     atomic.Int64 // Unix ns of the last sign of life: an answer, or a write that ended

	checkpointed bool // the child reported a checkpoint; read when the loops have ended
}

// frame is an encoded frame.
type frame struct {
	kind  FrameKind
	bytes []byte
}

// errEnded is the cause when the child's stdout ends.
var errEnded = errors.New("trainer: the child ended")

func (in *incarnation) run(ctx context.Context) (err error) {
	p := in.p
	staging, err := p.o.Store.Staging(ctx, p.model)
	if err != nil {
		return err
	}
	if err := clearDir(staging); err != nil {
		in.log.Warn("cannot remove remains of earlier exports", "error", err)
	}
	command, err := p.command(staging)
	if err != nil {
		return err
	}
	if in.child, err = startChild(command, p.o.Dir, in.log); err != nil {
		return err
	}
	defer func() {
		in.child.Kill()
		<-in.child.Exited
		in.child.Close()
	}()
	stopHello := context.AfterFunc(ctx, in.child.Kill) // before hello the child has learnt nothing, so it can be killed
	in.answers = newAnswerReader(in.child.Stdout)
	hello, err := hello(in.child, in.answers, p.o.HelloTimeout)
	if !stopHello() {
		return nil
	}
	if err != nil {
		return in.ended(err)
	}
	pos, err := p.greet(hello)
	if err != nil {
		return in.ended(err)
	}
	reader, pos, err := p.open(ctx, pos)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer reader.Close()
	joiner, err := join.New(join.Options{
		Label: events.Type(p.o.Recipe.Label), BidWait: p.o.Recipe.Join.BidWait(), LabelWait: p.o.Recipe.Join.LabelWait(),
		Reorder: p.o.Reorder, MaxPending: p.o.MaxPending,
	}, pos)
	if err != nil {
		return err
	}
	feed := newFeed(in, joiner, pos)
	if p.o.ArchiveDir != "" {
		if feed.archive, err = openArchive(filepath.Join(p.o.ArchiveDir, p.model), p.o.ArchiveRows, p.o.ArchiveFiles, later(reader.Last(), pos.High), time.Now); err != nil {
			return err
		}
	}
	p.update(func(s *Status) { s.State, s.Rows = "learning", hello.Rows })
	p.o.Metrics.up.WithLabelValues(p.model).Set(1)
	p.o.Metrics.rows.WithLabelValues(p.model).Set(float64(hello.Rows))
	in.log.Info("child learns", "pid", in.child.PID, "rows", hello.Rows, "position", pos.String())
	return in.loops(ctx, reader, feed)
}

// loops runs the four loops until all have ended.
func (in *incarnation) loops(ctx context.Context, reader stream.Reader, feed *feed) error {
	inner, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	in.cancel = cancel
	in.messages = make(chan events.Message, 4)
	in.frames = make(chan frame, in.p.o.QueueFrames)
	in.alive.Store(time.Now().UnixNano())

	var wg sync.WaitGroup
	readCtx, stopReading := context.WithCancel(inner)
	defer stopReading()
	defer context.AfterFunc(ctx, stopReading)()
	wg.Go(func() { in.readLoop(readCtx, reader) })
	wg.Go(func() { feed.feedLoop(ctx, inner) })
	wg.Go(func() { in.writeLoop(inner) })
	answered := make(chan struct{}) // closed when answerLoop has ended
	wg.Go(func() { defer close(answered); in.answerLoop() })
	wg.Go(func() { in.watchLoop(inner) })

	stopped := ctx.Done()
	var late <-chan time.Time // fires when the stop has taken too long
	for {
		select {
		case <-stopped:
			stopped = nil
			in.log.Info("stopping the child", "timeout_s", in.p.o.StopTimeout.Seconds())
			timer := time.NewTimer(in.p.o.StopTimeout)
			defer timer.Stop()
			late = timer.C
			continue
		case <-late:
			cancel(fmt.Errorf("trainer: the child did not checkpoint and end within %v and was killed (stop_timeout)", in.p.o.StopTimeout))
		case <-inner.Done():
		case <-answered:
			cancel(errEnded)
		}
		break
	}
	cause := context.Cause(inner)
	if !errors.Is(cause, errEnded) {
		in.child.Kill()
	}
	waitCtx, stopWaiting := context.WithTimeoutCause(context.Background(), 10*time.Second, errors.New("it closed its stdout and kept running"))
	defer stopWaiting()
	endErr := in.child.Wait(waitCtx)
	_ = in.child.Stdin.Close() // frees a blocked write
	wg.Wait()
	if !errors.Is(cause, errEnded) {
		return in.ended(cause)
	}
	if endErr == nil && in.stopping.Load() {
		return nil
	}
	if endErr == nil {
		endErr = errors.New("trainer: the child ended by itself")
	}
	return in.ended(endErr)
}

// ended adds ErrRefused to the error of a child that ended with exit status 2.
func (in *incarnation) ended(err error) error {
	select {
	case <-in.child.Exited:
	case <-time.After(10 * time.Second): // the child reports its error first, and then takes seconds to unload TensorFlow
		return err
	}
	if in.child.Code == exitConfiguration {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// readLoop passes the stream's messages to feedLoop until ctx ends. After a fault of the stream it waits and tries again.
func (in *incarnation) readLoop(ctx context.Context, reader stream.Reader) {
	var warned time.Time
	for {
		e, err := reader.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, stream.ErrClosed):
			in.cancel(errors.New("trainer: the stream was closed"))
			return
		case err != nil:
			if time.Since(warned) > 10*time.Second {
				warned = time.Now()
				in.log.Warn("cannot read the stream, trying again", "error", err)
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case in.messages <- codec.Read(e):
		case <-ctx.Done():
			return
		}
	}
}

// writeLoop writes frames to the child until ctx ends or frames is closed. Then it closes the child's stdin.
func (in *incarnation) writeLoop(ctx context.Context) {
	defer in.child.Stdin.Close()
	for {
		select {
		case f, ok := <-in.frames:
			if !ok {
				return
			}
			in.alive.Store(time.Now().UnixNano())
			in.writing.Store(true)
			_, err := in.child.Stdin.Write(f.bytes)
			in.alive.Store(time.Now().UnixNano())
			in.writing.Store(false)
			if err != nil {
				return // the child has ended; answerLoop reads the end of its stdout
			}
			in.p.o.Metrics.frames.WithLabelValues(in.p.model, string(f.kind)).Inc()
		case <-ctx.Done():
			return
		}
	}
}

// answerLoop handles the child's answers until its stdout ends.
func (in *incarnation) answerLoop() {
	p := in.p
	for {
		a, err := in.answers.next()
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			in.cancel(err)
			return
		}
		in.alive.Store(time.Now().UnixNano())
		switch a.Kind {
		case ProgressAnswer:
			p.o.Metrics.progress(p.model, a)
			p.update(func(s *Status) { s.Rows = a.Rows })
			in.log.Debug("progress", "rows", a.Rows, "metrics", a.Metrics)
		case CheckpointedAnswer:
			in.checkpointed = true
			in.awaited.Add(-1)
			p.o.Metrics.rows.WithLabelValues(p.model).Set(float64(a.Rows))
			p.update(func(s *Status) { s.Rows = a.Rows })
		case ExportedAnswer:
			in.publish(context.Background(), a) // not ctx: a stop waits until the finished export is published
			in.awaited.Add(-1)
			in.exporting.Store(false)
		case ErrorAnswer:
			in.log.Error("child reports a fault", "message", a.Message, "where", a.Where, "remedy", a.Remedy)
		default:
			in.cancel(fmt.Errorf("trainer: a second %s from the child", a.Kind))
			return
		}
	}
}

// await counts one more expected answer. watchLoop measures the silence from now on.
func (in *incarnation) await() {
	if in.awaited.Load() <= 0 { // until now nothing was expected, so the silence before does not count
		in.alive.Store(time.Now().UnixNano())
	}
	in.awaited.Add(1)
}

// watchLoop kills a child that stays silent while an answer is expected or a write blocks.
func (in *incarnation) watchLoop(ctx context.Context) {
	ticker := time.NewTicker(max(in.p.o.StallTimeout/8, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		silent := time.Since(time.Unix(0, in.alive.Load()))
		if (in.writing.Load() || in.awaited.Load() > 0) && silent > in.p.o.StallTimeout {
			in.cancel(fmt.Errorf("trainer: no sign of life from the child for %v; it was killed (stall_timeout)", silent.Round(time.Millisecond)))
			return
		}
	}
}

// later returns the later of two cursors.
func later(a, b stream.Cursor) stream.Cursor {
	if a.Compare(b) >= 0 {
		return a
	}
	return b
}

// rawPos encodes a position as frames carry it.
func rawPos(pos join.Position) msgpack.RawMessage {
	b, err := msgpack.Marshal(pos.String())
	if err != nil {
		panic(err) // unreachable: it is a string
	}
	return b
}
