package trainer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"gavel/internal/events/join"
	"gavel/internal/stream"
)

// ErrRefused means that the child cannot learn by this recipe at all. A restart would not help.
var ErrRefused = errors.New("trainer: the child refuses its configuration")

// exitConfiguration is pytrain's exit status for a bad configuration.
const exitConfiguration = 2

// Pipeline learns one recipe.
type Pipeline struct {
	o     Options
	model string
	log   *slog.Logger

	mu     sync.Mutex // guards status
	status Status
}

// Status is the state of a pipeline.
type Status struct {
	Model     string    `json:"model"`
	State     string    `json:"state"` // "starting", "learning", "waiting" to start the child again, or "stopped"
	Rows      int64     `json:"rows"`  // learnt, as the child last reported
	Version   int64     `json:"version"`
	Published time.Time `json:"published,omitzero"`
	Pinned    bool      `json:"pinned"` // versions are put into the store and not promoted
	Restarts  int       `json:"restarts"`
	Error     string    `json:"error,omitempty"` // why the child was last restarted, or the pipeline stopped
}

// New returns a pipeline. Its error names every missing option.
func New(o Options) (*Pipeline, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	p := &Pipeline{o: o, model: o.Recipe.Model, log: o.Logger.With("model", o.Recipe.Model)}
	p.status = Status{Model: p.model, State: "starting"}
	p.o.Metrics.up.WithLabelValues(p.model).Set(0)
	p.o.Metrics.restarts.WithLabelValues(p.model).Add(0)
	p.o.Metrics.pinned.WithLabelValues(p.model).Set(0)
	return p, nil
}

// Status returns the pipeline's state now.
func (p *Pipeline) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *Pipeline) update(f func(*Status)) {
	p.mu.Lock()
	f(&p.status)
	p.mu.Unlock()
}

// Run learns until ctx ends. Then the child writes a checkpoint and ends; if that exceeds StopTimeout, Run kills it. If the
// child dies, Run restarts it, after a pause that grows with each failure in a row. Run returns an error if the child
// refuses its configuration (ErrRefused), or if the last stop was not clean. After an unclean stop, examples since the last
// checkpoint are learnt again at the next start.
func (p *Pipeline) Run(ctx context.Context) error {
	defer p.update(func(s *Status) { s.State = "stopped" })
	backoff := p.o.BackoffMin
	for {
		in := &incarnation{p: p, log: p.log}
		err := in.run(ctx)
		p.o.Metrics.up.WithLabelValues(p.model).Set(0)
		if ctx.Err() != nil {
			if err != nil {
				p.update(func(s *Status) { s.Error = err.Error() })
				return fmt.Errorf("trainer: %s did not stop cleanly: %w", p.model, err)
			}
			return nil
		}
		p.update(func(s *Status) { s.State, s.Error = "waiting", err.Error() })
		if errors.Is(err, ErrRefused) {
			return fmt.Errorf("trainer: %s: %w", p.model, err)
		}
		if in.checkpointed {
			backoff = p.o.BackoffMin
		}
		p.log.Warn("child ended; starting another from its checkpoint", "error", err, "backoff_ms", backoff.Milliseconds())
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return nil // nothing runs, and the checkpoint is on disk
		}
		backoff = min(2*backoff, p.o.BackoffMax)
		p.o.Metrics.restarts.WithLabelValues(p.model).Inc()
		p.update(func(s *Status) { s.State = "starting"; s.Restarts++ })
	}
}

// command returns the child's command line.
func (p *Pipeline) command(stagingRoot string) ([]string, error) {
	recipePath, err := filepath.Abs(p.o.RecipePath)
	if err != nil {
		return nil, fmt.Errorf("trainer: cannot resolve %s: %w", p.o.RecipePath, err)
	}
	checkpoints, err := filepath.Abs(filepath.Join(p.o.StateDir, p.model))
	if err != nil {
		return nil, fmt.Errorf("trainer: cannot resolve %s: %w", p.o.StateDir, err)
	}
	if stagingRoot, err = filepath.Abs(stagingRoot); err != nil {
		return nil, fmt.Errorf("trainer: cannot resolve %s: %w", stagingRoot, err)
	}
	command := append([]string(nil), p.o.Python...)
	command = append(command, "fit", "--recipe", recipePath, "--checkpoint-dir", checkpoints, "--export-dir", stagingRoot)
	if p.o.Objects != "" {
		objects, err := filepath.Abs(p.o.Objects)
		if err != nil {
			return nil, fmt.Errorf("trainer: cannot resolve %s: %w", p.o.Objects, err)
		}
		command = append(command, "--objects", objects)
	}
	return command, nil
}

// greet checks the child's hello and returns the position it resumes from.
func (p *Pipeline) greet(hello *Answer) (join.Position, error) {
	encoder := p.o.Recipe.Encoder()
	switch {
	case hello.Kind == ErrorAnswer:
		return join.Position{}, fmt.Errorf("trainer: the child could not start: %s: %s (%s)", hello.Where, hello.Message, hello.Remedy)
	case hello.Kind != HelloAnswer:
		return join.Position{}, fmt.Errorf("trainer: the child's first answer is %q, want hello", hello.Kind)
	case hello.Protocol != Protocol:
		return join.Position{}, fmt.Errorf("%w: it has protocol %d, this trainer %d; install both from one release", ErrRefused, hello.Protocol, Protocol)
	case hello.Model != p.model || hello.RowLen != encoder.RowLen() || hello.TableRows != encoder.TableRows():
		return join.Position{}, fmt.Errorf("%w: it has model %q with %d indices a row and %d table rows, the recipe says %q, %d and %d; was %s edited since?",
			ErrRefused, hello.Model, hello.RowLen, hello.TableRows, p.model, encoder.RowLen(), encoder.TableRows(), p.o.RecipePath)
	}
	text, err := posText(hello.Pos)
	if err != nil {
		return join.Position{}, err
	}
	pos, err := join.ParsePosition(text)
	if err != nil {
		return join.Position{}, fmt.Errorf("trainer: cannot use the checkpoint of %s: %w", p.model, err)
	}
	return pos, nil
}

// open opens the stream at pos. If the stream ends before pos, it lost its tail or is a new stream. Learning then starts at
// its end, with messages that were never learnt.
func (p *Pipeline) open(ctx context.Context, pos join.Position) (stream.Reader, join.Position, error) {
	reader, err := p.o.Stream.Open(ctx, pos.Start())
	switch {
	case err == nil && pos.High.Compare(reader.Last()) <= 0:
		return reader, pos, nil
	case err == nil:
		_ = reader.Close()
	case !errors.Is(err, stream.ErrAhead):
		return nil, pos, err
	}
	state, err := p.o.Stream.State(ctx)
	if err != nil {
		return nil, pos, err
	}
	p.log.Error("the stream ends before the checkpoint's position: it lost its tail or is a new one; learning from its end on",
		"position", pos.String(), "last_sequence", state.Last.Seq())
	pos = join.Position{Low: state.Last.Next(), High: state.Last, Watermark: pos.Watermark}
	reader, err = p.o.Stream.Open(ctx, pos.Start())
	return reader, pos, err
}
