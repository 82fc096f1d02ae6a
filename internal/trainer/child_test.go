package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stat reads fields of /proc/<pid>/stat, counted from 3, the state; nil if there is no such process.
func stat(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return strings.Fields(rest)
}

// gone says whether a process has ended; a zombie has.
func gone(pid int) bool {
	s := stat(pid)
	return s == nil || s[0] == "Z" || s[0] == "X"
}

func TestChildIsNiceAndApart(t *testing.T) {
	c, err := startChild([]string{"sleep", "600"}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := stat(c.PID)
	if pgrp, nice := s[2], s[16]; pgrp != fmt.Sprint(c.PID) || nice != fmt.Sprint(childNice) {
		t.Errorf("process group %s, niceness %s; want its own, %d, and %d", pgrp, nice, c.PID, childNice)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := c.Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("wait: %v, want the cause", err)
	}
	c.Close()
}

func TestChildTakesItsOwnChildrenAlong(t *testing.T) {
	c, err := startChild([]string{"sh", "-c", "sleep 600 & echo $!; wait"}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var grandchild int
	if _, err := fmt.Fscan(c.Stdout, &grandchild); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.Exited
	eventually(t, "the grandchild's end", func() bool { return gone(grandchild) })
	c.Close()
}

func TestChildDiesWithTheTrainer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), childEnv+"=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if gone(pid) {
		t.Fatal("the child is not running")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the child's end", func() bool { return gone(pid) })
}

func TestChildIsLoggedByLine(t *testing.T) {
	var mu sync.Mutex
	var log bytes.Buffer
	c, err := startChild([]string{"sh", "-c", "echo one >&2; echo '2024-01-01 00:00:00,000 WARNING pytrain: two' >&2; printf three >&2"}, "",
		slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, want := range []string{"level=INFO msg=child line=one", "level=WARN msg=child line=\"2024", "line=three"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func TestNoSuchInterpreter(t *testing.T) {
	if _, err := startChild([]string{"/no/such/python"}, "", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "setting python") {
		t.Errorf("got %v, want an error that names the setting", err)
	}
}
