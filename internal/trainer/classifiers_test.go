package trainer

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// linesOf calls took with each line that is logged.
type linesOf func(line string)

func (took linesOf) Write(p []byte) (int, error) {
	took(string(p))
	return len(p), nil
}

// classifiersOf are trained by a shell's command instead of pytrain. started is called when it prints "started" to stderr.
func classifiersOf(t *testing.T, command string, started func()) *Classifiers {
	t.Helper()
	var once sync.Once
	log := linesOf(func(line string) {
		if strings.Contains(line, "started") {
			once.Do(started)
		}
	})
	return &Classifiers{
		Python: []string{"sh", "-c", command}, Data: t.TempDir(), Out: t.TempDir(), Recipe: "recipe.yaml",
		StopTimeout: time.Minute, BackoffMin: time.Millisecond, BackoffMax: time.Millisecond,
		Metrics: NewClassifierMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// A child that is stopped ends the trainer without an error, whether it handles SIGTERM already or not. One that is killed, or that
// fails while it stops, does not.
func TestStoppedClassifiers(t *testing.T) {
	f := func(name, command string, fault bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if err := RunClassifiers(ctx, classifiersOf(t, command, stop)); (err != nil) != fault {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	f("SIGTERM is not handled yet", "echo started >&2; exec sleep 600", false)
	f("SIGTERM is handled", "trap 'exit 0' TERM; echo started >&2; while :; do sleep 0.01; done", false)
	f("it fails while it stops", "trap 'exit 1' TERM; echo started >&2; while :; do sleep 0.01; done", true)
	f("it was killed", "trap 'kill -KILL $$' TERM; echo started >&2; while :; do sleep 0.01; done", true)
}

// A child that refuses its configuration is not started again.
func TestRefusedClassifiers(t *testing.T) {
	if err := RunClassifiers(t.Context(), classifiersOf(t, "exit 2", func() {})); !errors.Is(err, ErrRefused) {
		t.Errorf("it ended with %v", err)
	}
}
