package trainer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// childNice is the niceness of the child. On shared cores, serving takes precedence over learning.
const childNice = 10

// maxLogLine bounds a line of the child's stderr; a longer one is cut into several.
const maxLogLine = 16 << 10

// child is a running process: its stdin, its answers, its end. It leads a process group of its own. So a Ctrl-C in the
// terminal reaches only the trainer, which then stops the child in order. However the trainer ends, the child dies with it
// (Pdeathsig). Processes that the child started are killed with it.
type child struct {
	stdin   *os.File
	stdout  *os.File
	pid     int
	exited  chan struct{} // closed when the process has ended; err and code are valid then
	err     error
	code    int
	logging sync.WaitGroup // the loop that logs its stderr
}

// startChild starts command. Lines of its stderr go to log.
func startChild(command []string, dir string, log *slog.Logger) (*child, error) {
	var pipes [6]*os.File // stdin, stdout, stderr: read end, write end
	closeAll := func(files ...*os.File) {
		for _, f := range files {
			if f != nil {
				_ = f.Close()
			}
		}
	}
	for i := 0; i < len(pipes); i += 2 {
		var err error
		if pipes[i], pipes[i+1], err = os.Pipe(); err != nil {
			closeAll(pipes[:]...)
			return nil, fmt.Errorf("trainer: cannot start child: %w", err)
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes[0], pipes[3], pipes[5]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c := &child{stdin: pipes[1], stdout: pipes[2], exited: make(chan struct{})}
	started := make(chan error, 1) // one result
	go c.waitLoop(cmd, started)
	err := <-started
	closeAll(pipes[0], pipes[3], pipes[5])
	if err != nil {
		closeAll(pipes[1], pipes[2], pipes[4])
		return nil, fmt.Errorf("trainer: cannot start %q: %w (the setting python names the interpreter)", command[0], err)
	}
	c.logging.Add(1)
	go c.logLoop(pipes[4], log)
	return c, nil
}

// waitLoop starts the process and returns when the process has ended. It stays on one thread, because Pdeathsig fires when
// the thread that started the child ends. The runtime never ends a thread that is locked.
func (c *child) waitLoop(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	c.pid = cmd.Process.Pid
	_ = syscall.Setpriority(syscall.PRIO_PGRP, c.pid, childNice) // if the system refuses, the child learns at normal priority
	started <- nil
	c.err = cmd.Wait()
	c.code = cmd.ProcessState.ExitCode()
	c.kill() // also processes that the child started, so that its pipes close
	close(c.exited)
}

// logLoop logs stderr line by line, until its last writer has ended.
func (c *child) logLoop(stderr *os.File, log *slog.Logger) {
	defer c.logging.Done()
	defer stderr.Close()
	r := bufio.NewReaderSize(stderr, maxLogLine)
	for {
		line, _, err := r.ReadLine()
		if len(line) > 0 {
			log.Log(context.Background(), lineLevel(line), "child", "line", string(line))
		}
		if err != nil {
			return
		}
	}
}

// lineLevel returns the level that Python's logging writes near the start of a line; Info for any other line.
func lineLevel(line []byte) slog.Level {
	head := line[:min(len(line), 48)]
	switch {
	case bytes.Contains(head, []byte(" ERROR ")) || bytes.Contains(head, []byte(" CRITICAL ")):
		return slog.LevelError
	case bytes.Contains(head, []byte(" WARNING ")):
		return slog.LevelWarn
	case bytes.Contains(head, []byte(" DEBUG ")):
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// kill ends the child, and all processes that it started, at once.
func (c *child) kill() { _ = syscall.Kill(-c.pid, syscall.SIGKILL) }

// wait waits until the child has ended. If ctx ends first, wait kills the child. The error says how the child ended.
func (c *child) wait(ctx context.Context) error {
	select {
	case <-c.exited:
	case <-ctx.Done():
		c.kill()
		<-c.exited
		return fmt.Errorf("trainer: the child did not end in time and was killed: %w", context.Cause(ctx))
	}
	if c.err != nil {
		return fmt.Errorf("trainer: the child ended: %w", c.err)
	}
	return nil
}

// close releases the pipes. The child must have ended.
func (c *child) close() {
	_ = c.stdin.Close()
	_ = c.stdout.Close()
	c.logging.Wait()
}

// hello reads the child's first answer within the given time.
func (c *child) hello(answers *answerReader, within time.Duration) (*Answer, error) {
	if err := c.stdout.SetReadDeadline(time.Now().Add(within)); err != nil {
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
	if err := c.stdout.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("trainer: cannot read from the child: %w", err)
	}
	return answer, nil
}
