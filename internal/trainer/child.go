package trainer

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"gavel/internal/process"
)

// childNice is the niceness of the child. On shared cores, serving takes precedence over learning.
const childNice = 10

// startChild starts command. Lines of its stderr go to log.
func startChild(command []string, dir string, log *slog.Logger) (*process.Child, error) {
	return process.StartChild(command, process.ChildOptions{Owner: "trainer", Dir: dir, Nice: childNice, Log: log})
}

// hello reads the child's first answer within the given time.
func hello(c *process.Child, answers *answerReader, within time.Duration) (*Answer, error) {
	if err := c.Stdout.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, fmt.Errorf("trainer: cannot wait for the child's hello: %w", err)
	}
	answer, err := answers.next()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fmt.Errorf("trainer: no hello from the child within %v (hello_timeout)", within)
	}
	if errors.Is(err, io.EOF) {
		return nil, errors.New("trainer: the child ended before its hello; its log lines say why")
	}
	if err != nil {
		return nil, err
	}
	if err := c.Stdout.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("trainer: cannot read from the child: %w", err)
	}
	return answer, nil
}
