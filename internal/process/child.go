package process

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLogLine bounds a line of the child's stderr; a longer one is cut into several.
const maxLogLine = 16 << 10

// Child is a running child process: its stdin, its stdout, its end. It leads a process group of its own. So a Ctrl-C in the
// terminal reaches only the parent, which then stops the child in order. However the parent ends, the child dies with it
// (Pdeathsig). Processes that the child started are killed with it.
type Child struct {
	Stdin  *os.File
	Stdout *os.File
	PID    int
	Exited chan struct{} // closed when the process has ended; Err and Code are valid then
	Err    error
	Code   int

	owner   string         // the room that started it, for errors
	logging sync.WaitGroup // the loop that logs its stderr
}

// ChildOptions say how a child runs.
type ChildOptions struct {
	Owner  string       // the room that starts it: the first word of errors
	Dir    string       // its working directory; empty: the parent's
	Env    []string     // variables beside the parent's own
	Nice   int          // its niceness
	Memory int64        // bound on its address space in bytes (RLIMIT_AS); 0: none
	Log    *slog.Logger // takes the lines of its stderr
}

// StartChild starts command.
func StartChild(command []string, o ChildOptions) (*Child, error) {
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
			return nil, fmt.Errorf("%s: cannot start child: %w", o.Owner, err)
		}
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = o.Dir
	if len(o.Env) > 0 {
		cmd.Env = append(os.Environ(), o.Env...)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pipes[0], pipes[3], pipes[5]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c := &Child{Stdin: pipes[1], Stdout: pipes[2], Exited: make(chan struct{}), owner: o.Owner}
	started := make(chan error, 1) // one result
	go c.waitLoop(cmd, o, started)
	err := <-started
	closeAll(pipes[0], pipes[3], pipes[5])
	if err != nil {
		closeAll(pipes[1], pipes[2], pipes[4])
		return nil, fmt.Errorf("%s: cannot start %q: %w (the setting python names the interpreter)", o.Owner, command[0], err)
	}
	c.logging.Add(1)
	go c.logLoop(pipes[4], o.Log)
	return c, nil
}

// waitLoop starts the process and returns when the process has ended. It stays on one thread, because Pdeathsig fires when
// the thread that started the child ends. The runtime never ends a thread that is locked.
func (c *Child) waitLoop(cmd *exec.Cmd, o ChildOptions, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	c.PID = cmd.Process.Pid
	if o.Nice != 0 {
		_ = syscall.Setpriority(syscall.PRIO_PGRP, c.PID, o.Nice) // if the system refuses, the child runs at normal priority
	}
	var fault error
	if o.Memory > 0 {
		limit := unix.Rlimit{Cur: uint64(o.Memory), Max: uint64(o.Memory)}
		if err := unix.Prlimit(c.PID, unix.RLIMIT_AS, &limit, nil); err != nil {
			fault = fmt.Errorf("cannot bound its memory: %w", err)
			c.Kill()
		}
	}
	if fault == nil {
		started <- nil
	}
	c.Err = cmd.Wait()
	c.Code = cmd.ProcessState.ExitCode()
	c.Kill() // also processes that the child started, so that its pipes close
	close(c.Exited)
	if fault != nil {
		started <- fault
	}
}

// logLoop logs stderr line by line, until its last writer has ended.
func (c *Child) logLoop(stderr *os.File, log *slog.Logger) {
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

// Kill ends the child, and all processes that it started, at once.
func (c *Child) Kill() { _ = syscall.Kill(-c.PID, syscall.SIGKILL) }

// Wait waits until the child has ended. If ctx ends first, Wait kills the child. The error says how the child ended.
func (c *Child) Wait(ctx context.Context) error {
	select {
	case <-c.Exited:
	case <-ctx.Done():
		c.Kill()
		<-c.Exited
		return fmt.Errorf("%s: the child did not end in time and was killed: %w", c.owner, context.Cause(ctx))
	}
	if c.Err != nil {
		return fmt.Errorf("%s: the child ended: %w", c.owner, c.Err)
	}
	return nil
}

// Close releases the pipes. The child must have ended.
func (c *Child) Close() {
	_ = c.Stdin.Close()
	_ = c.Stdout.Close()
	c.logging.Wait()
}
