package openrtb

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/httpd/httpdtest"
	"gavel/internal/privacy/privacytest"
)

// atMost is a Limit of cap(atMost) auctions.
type atMost chan struct{}

func (l atMost) Begin() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l atMost) End() { <-l }

// Auctions above the limit are shed, those within it answered.
func TestLimit(t *testing.T) {
	entered, release := make(chan struct{}, 2), make(chan struct{})
	auctions := &fakeAuctions{run: func(_ context.Context, req *auction.Request) auction.Result {
		entered <- struct{}{}
		<-release
		return oneBid(req)
	}}
	limit := make(atMost, 1)
	s, base, client := startServer(t, auctions, nil, Options{Limit: limit})
	first := make(chan int, 1)
	go func() {
		resp, _ := do(t, client, "POST", base+"/openrtb2/bid", minimal)
		first <- resp.StatusCode
	}()
	<-entered
	resp, _ := do(t, client, "POST", base+"/openrtb2/bid", minimal)
	if resp.StatusCode != 204 || counted(t, s.metrics.noBids[auction.NoBidShed]) != 1 || counted(t, s.metrics.refused) != 1 {
		t.Errorf("status %d, want 204 and shed", resp.StatusCode)
	}
	close(release)
	if status := <-first; status != 200 {
		t.Errorf("the first auction was answered %d, want 200", status)
	}
	if len(limit) != 0 { // an answer is written when its handler has returned
		t.Errorf("%d places are still taken, want none", len(limit))
	}
}

// Shutdown answers a running auction, refuses the next, and ends.
func TestShutdown(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	auctions := &fakeAuctions{run: func(ctx context.Context, req *auction.Request) auction.Result {
		close(entered)
		<-release
		if ctx.Err() != nil {
			t.Error("the auction lost its context while draining")
		}
		return oneBid(req)
	}}
	s, base, client := startServer(t, auctions, nil, Options{})
	notices := "http://" + httpdtest.Serve(t, noticeSide{s})
	// Two connections: one busy, one kept open to send another request while draining.
	busy := make(chan int, 1)
	go func() {
		resp, _ := do(t, client, "POST", base+"/openrtb2/bid", minimal)
		busy <- resp.StatusCode
	}()
	<-entered
	s.Refuse()
	resp, _ := do(t, client, "POST", base+"/openrtb2/bid", minimal)
	if resp.StatusCode != 204 || !resp.Close || counted(t, s.metrics.noBids[auction.NoBidDraining]) != 1 {
		t.Errorf("while draining: status %d, close %v; want 204 and close", resp.StatusCode, resp.Close)
	}
	if resp, _ := do(t, client, "GET", notices+"/n/win?t=x", ""); resp.StatusCode != 204 {
		t.Errorf("a notice while draining: status %d, want 204", resp.StatusCode)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	close(release)
	if status := <-busy; status != 200 {
		t.Errorf("the running auction was answered %d, want 200", status)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, side := range []string{base, notices} {
		if resp, err := client.Get(side + "/n/win?t=x"); err == nil {
			resp.Body.Close()
			t.Errorf("%s: still listening after Shutdown", side)
		}
	}
}

// Shutdown returns an error with what is left when its context ends.
func TestShutdownTimeout(t *testing.T) {
	entered, ended := make(chan struct{}), make(chan struct{})
	auctions := &fakeAuctions{run: func(ctx context.Context, _ *auction.Request) auction.Result {
		close(entered)
		<-ctx.Done()
		close(ended)
		return auction.Result{Reason: auction.NoBidExpired}
	}}
	s, base, client := startServer(t, auctions, nil, Options{Timing: Timing{Default: time.Minute, Max: time.Minute}})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		do(t, client, "POST", base+"/openrtb2/bid", `{"id":"r","imp":[{"id":"1","banner":{}}],"tmax":60000}`)
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.Shutdown(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 auctions") {
		t.Errorf("error %v, want canceled with 1 auctions left", err)
	}
	<-ended // the auction's context ended with the server
	<-answered
}

// Serve returns at once if Shutdown was called before.
func TestShutdownBeforeServe(t *testing.T) {
	s, err := NewServer(&fakeAuctions{}, testLinker{}, noticeFunc(nil), Options{
		Law: privacytest.Lenient(t), Sellers: testSellers(t), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(listener); err != nil {
		t.Error(err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener still accepts: %v", err)
	}
}
