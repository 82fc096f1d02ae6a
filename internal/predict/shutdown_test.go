package predict

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/httpd/httpdtest"
	"gavel/internal/scoring"
)

// Shutdown answers the requests that arrived, closes the connections, and accepts no new ones.
func TestShutdown(t *testing.T) {
	m := &fakeModel{}
	entered, release := make(chan struct{}), make(chan struct{})
	m.score = func([]int32, time.Time, []scoring.Result) (bool, error) {
		close(entered)
		<-release
		return false, nil
	}
	s, client := startServer(t, map[string]Model{"ctr": m}, Options{})
	type answer struct {
		status int
		text   string
	}
	answered := make(chan answer, 1)
	go func() {
		status, text := ask(t, client, "POST /v1/models/ctr:predict", one)
		answered <- answer{status, text}
	}()
	<-entered
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	close(release)
	if a := <-answered; a != (answer{200, `{"predictions":[1.2]}`}) {
		t.Errorf("the request that ran was answered %+v", a)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if resp, err := client.Get("http://predict/v1/models/ctr"); err == nil {
		resp.Body.Close()
		t.Error("still listening after Shutdown")
	}
	if n := m.held.Load(); n != 0 {
		t.Errorf("%d versions held", n)
	}
}

// Shutdown returns an error when its context ends. The remaining requests are still answered.
func TestShutdownTimeout(t *testing.T) {
	m := &fakeModel{}
	entered, release := make(chan struct{}), make(chan struct{})
	m.score = func([]int32, time.Time, []scoring.Result) (bool, error) {
		close(entered)
		<-release
		return true, scoring.ErrClosed
	}
	s, client := startServer(t, map[string]Model{"ctr": m}, Options{})
	answered := make(chan int, 1)
	go func() {
		status, _ := ask(t, client, "POST /v1/models/ctr:predict", one)
		answered <- status
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 connections left") {
		t.Errorf("error %v, want canceled with 1 connection left", err)
	}
	close(release)
	if status := <-answered; status != 503 {
		t.Errorf("status %d, want 503", status)
	}
}

// A request that never ends is counted, and its connection closed.
func TestSlowRequest(t *testing.T) {
	o := Options{ReadTimeout: 50 * time.Millisecond, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
	s, err := NewServer(fixed{"ctr": &fakeModel{}}, o)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", httpdtest.Serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/models/ctr:predict HTTP/1.1\r\nHost: x\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 408 || !resp.Close || counted(t, s.metrics.timedOut) != 1 {
		t.Errorf("status %d, close %v, %v counted; want 408, true, 1", resp.StatusCode, resp.Close, counted(t, s.metrics.timedOut))
	}
}
