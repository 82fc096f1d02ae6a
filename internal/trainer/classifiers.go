package trainer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/process"
)

// badConfiguration is pytrain's exit status for what a person must correct.
const badConfiguration = 2

// maxRoundBytes bounds the line that a round prints.
const maxRoundBytes = 64 << 20

// Classifiers configures RunClassifiers. All but Dir are required.
type Classifiers struct {
	Python []string // the command that runs pytrain
	Dir    string   // its working directory; "": this process's
	Data   string   // the data set: <root>/<data set>
	Out    string   // the directory of classifier files
	Recipe string

	StopTimeout            time.Duration
	BackoffMin, BackoffMax time.Duration
	Metrics                *ClassifierMetrics
	Log                    *slog.Logger
}

// ClassifierMetrics holds the metrics of training classifiers.
type ClassifierMetrics struct {
	trained, removed, restarts         prometheus.Counter
	current, failed, unreadable, small prometheus.Gauge
	seconds                            prometheus.Gauge
}

// NewClassifierMetrics registers the metrics with reg.
func NewClassifierMetrics(reg prometheus.Registerer) *ClassifierMetrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "gavel", Subsystem: "rank_training", Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "gavel", Subsystem: "rank_training", Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	return &ClassifierMetrics{
		trained:    counter("trained_total", "Classifiers that were trained."),
		removed:    counter("removed_total", "Classifiers that were removed, because their campaigns ended."),
		restarts:   counter("child_restarts_total", "Times the child was started again."),
		current:    gauge("classifiers", "Classifiers after the last round."),
		failed:     gauge("failed", "Campaigns that the last round could not train."),
		unreadable: gauge("unreadable", "Data sets that the last round could not read."),
		small:      gauge("too_small", "Campaigns with too few examples for a classifier."),
		seconds:    gauge("round_seconds", "Duration of the last round that did anything."),
	}
}

// round is what pytrain prints after a round.
type round struct {
	Trained    int               `json:"trained"`
	Current    int               `json:"current"`
	Removed    []string          `json:"removed"`
	TooSmall   []string          `json:"too_small"`
	Failed     map[string]string `json:"failed"`
	Unreadable map[string]string `json:"unreadable"`
	Seconds    float64           `json:"seconds"`
}

// RunClassifiers runs `pytrain rank train --watch` until ctx ends, and starts it again when it dies, after a pause that grows with
// each failure in a row. It returns ErrRefused if pytrain refuses its configuration. A child that is killed has written only whole
// files, and the next one goes on.
func RunClassifiers(ctx context.Context, o *Classifiers) error {
	command, err := o.command()
	if err != nil {
		return err
	}
	backoff := o.BackoffMin
	for {
		rounds, err := o.runChild(ctx, command)
		if ctx.Err() != nil {
			return err
		}
		if errors.Is(err, ErrRefused) {
			return err
		}
		if rounds > 0 {
			backoff = o.BackoffMin
		}
		o.Log.Warn("the child ended; starting another", "error", err, "backoff_ms", backoff.Milliseconds())
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return nil
		}
		backoff = min(2*backoff, o.BackoffMax)
		o.Metrics.restarts.Inc()
	}
}

func (o *Classifiers) command() ([]string, error) {
	command := append([]string(nil), o.Python...)
	command = append(command, "rank", "train", "--watch")
	for _, f := range []struct{ flag, path string }{{"--data", o.Data}, {"--out", o.Out}, {"--config", o.Recipe}} {
		path, err := filepath.Abs(f.path)
		if err != nil {
			return nil, fmt.Errorf("trainer: cannot resolve %s: %w", f.path, err)
		}
		command = append(command, f.flag, path)
	}
	return command, nil
}

// runChild runs one child until it ends, or ctx does. It returns how many rounds the child reported.
func (o *Classifiers) runChild(ctx context.Context, command []string) (rounds int, err error) {
	c, err := startChild(command, o.Dir, o.Log)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	read := make(chan int, 1) // one count
	go func() { read <- o.readRounds(c) }()
	asked := false
	select {
	case <-c.Exited:
	case <-ctx.Done():
		asked = true
		_ = syscall.Kill(c.PID, syscall.SIGTERM)
	}
	stopping, cancel := context.WithTimeoutCause(context.Background(), o.StopTimeout, errors.New("stop_timeout"))
	defer cancel()
	err = c.Wait(stopping)
	rounds = <-read
	if asked && diedOf(c.Err, syscall.SIGTERM) {
		err = nil // it was asked before it could handle the signal; all files that it wrote are whole
	}
	if c.Code == badConfiguration {
		err = fmt.Errorf("%w: its log lines say why: %w", ErrRefused, err)
	}
	return rounds, err
}

// diedOf reports whether a process's end was a signal that it did not handle.
func diedOf(end error, by syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(end, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == by
}

// readRounds takes what the child prints, until it ends.
func (o *Classifiers) readRounds(c *process.Child) (rounds int) {
	lines := bufio.NewScanner(c.Stdout)
	lines.Buffer(nil, maxRoundBytes)
	for lines.Scan() {
		var r round
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			o.Log.Warn("the child printed what is no round", "error", err)
			continue
		}
		rounds++
		o.Metrics.trained.Add(float64(r.Trained))
		o.Metrics.removed.Add(float64(len(r.Removed)))
		o.Metrics.current.Set(float64(r.Trained + r.Current))
		o.Metrics.small.Set(float64(len(r.TooSmall)))
		o.Metrics.failed.Set(float64(len(r.Failed)))
		o.Metrics.unreadable.Set(float64(len(r.Unreadable)))
		o.Metrics.seconds.Set(r.Seconds)
	}
	if err := lines.Err(); err != nil {
		o.Log.Error("the child's rounds cannot be read; it is started anew", "error", err)
		c.Kill()
	}
	return rounds
}
