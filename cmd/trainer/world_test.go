package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/events/publish"
	"gavel/internal/stream/nats"
)

// world is what a trainer runs in: a checkout with pytrain, a directory of its own, and a real stream with a publisher.
type world struct {
	root, python string // the checkout, and its interpreter
	dir          string
	server       *nats.Embedded
	publisher    *publish.Publisher
}

// newWorld starts a world, whose publisher is named source. It skips the test if there is no interpreter.
func newWorld(t *testing.T, source string) *world {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{root: root, python: filepath.Join(root, ".venv", "bin", "python"), dir: t.TempDir()}
	if _, err := os.Stat(w.python); err != nil {
		t.Skipf("needs %s: run make setup", w.python)
	}
	if w.server, err = nats.StartEmbedded(nats.EmbedOptions{Dir: filepath.Join(w.dir, "stream")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Close)
	stream, err := nats.Connect(nats.Options{Embedded: w.server})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	w.publisher, err = publish.New(publish.Options{Stream: stream, Source: source, SpillFile: filepath.Join(w.dir, "spill"), Tick: 50 * time.Millisecond,
		Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = w.publisher.Close(ctx)
	})
	return w
}

// freeAddress is an address of loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
