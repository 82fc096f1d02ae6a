package nats_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"gavel/internal/stream"
	"gavel/internal/stream/nats"
	"gavel/internal/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startServer(t testing.TB, dir string, port int) *nats.Embedded {
	t.Helper()
	s, err := nats.StartEmbedded(nats.EmbedOptions{Dir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func portOf(t testing.TB, s *nats.Embedded) int {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// connected is a stream with the server under it. It goes over TCP, as another process does, so that the server may be
// stopped.
type connected struct {
	*nats.Stream
	server *nats.Embedded
	dir    string
}

func connect(t testing.TB) *connected {
	t.Helper()
	c := &connected{dir: t.TempDir()}
	c.server = startServer(t, c.dir, 0)
	var err error
	c.Stream, err = nats.Connect(nats.Options{URL: c.server.URL(), TokenFile: c.server.TokenFile(), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// jet is the server's stream as any NATS client has it.
func (c *connected) jet(t testing.TB) jetstream.Stream {
	t.Helper()
	token, err := os.ReadFile(c.server.TokenFile())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := natsgo.Connect(c.server.URL(), natsgo.Token(strings.TrimSpace(string(token))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), nats.StreamName)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestStream(t *testing.T) {
	streamtest.Run(t, streamtest.Form{
		New: func(t *testing.T) stream.Stream { return connect(t) },
		Trim: func(t *testing.T, s stream.Stream, first stream.Cursor) {
			if err := s.(*connected).jet(t).Purge(t.Context(), jetstream.WithPurgeSequence(first.Seq())); err != nil {
				t.Fatal(err)
			}
		},
		Remove: func(t *testing.T, s stream.Stream, at stream.Cursor) {
			if err := s.(*connected).jet(t).DeleteMsg(t.Context(), at.Seq()); err != nil {
				t.Fatal(err)
			}
		},
		Away: func(t *testing.T, s stream.Stream) func() {
			c := s.(*connected)
			port := portOf(t, c.server)
			c.server.Close()
			return func() { c.server = startServer(t, c.dir, port) }
		},
		DropsRepeats: true,
	})
}

func TestBuckets(t *testing.T) {
	streamtest.RunBuckets(t, func(t *testing.T) stream.Buckets { return connect(t) })
}

// What a reader fetches ahead of Next is bounded in bytes: the server keeps the rest.
func TestPullsAreBounded(t *testing.T) {
	c := connect(t)
	ctx := within(t, 20*time.Second)
	const n, size = 60, 512 << 10
	for i := range n {
		if _, err := c.Publish(ctx, []stream.Message{{ID: fmt.Sprint(i), Data: make([]byte, size)}}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.Open(ctx, stream.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(ctx); err != nil {
		t.Fatal(err)
	}
	delivered := func() uint64 {
		list := c.jet(t).ListConsumers(ctx)
		var most uint64
		for info := range list.Info() {
			most = max(most, info.Delivered.Stream)
		}
		if err := list.Err(); err != nil {
			t.Fatal(err)
		}
		return most
	}
	// Wait until no more comes: two counts that agree.
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	was := delivered()
	for <-poll.C; ; <-poll.C {
		now := delivered()
		if now == was {
			break
		}
		was = now
	}
	if was == 0 || was > (4<<20)/size*2 {
		t.Errorf("%d messages of %d bytes were fetched for one that was read", was, size)
	}
	for i := 1; i < n; i++ {
		if e, err := r.Next(ctx); err != nil || e.At != stream.CursorAt(uint64(i+1)) {
			t.Fatalf("read %s, %v", e.At, err)
		}
	}
}

func TestStartEmbedded(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir, 0)
	if st, err := os.Stat(s.TokenFile()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", st.Mode(), err)
	}
	if !strings.HasPrefix(s.URL(), "nats://127.0.0.1:") {
		t.Errorf("listens at %s", s.URL())
	}
	if _, err := nats.StartEmbedded(nats.EmbedOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server on the store: %v", err)
	}
	if _, err := nats.StartEmbedded(nats.EmbedOptions{Dir: t.TempDir(), Port: portOf(t, s)}); err == nil {
		t.Error("a port that is taken: no error")
	}
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("00000000000000000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := nats.Connect(nats.Options{URL: s.URL(), TokenFile: wrong})
	if err == nil {
		defer c.Close()
		if up, _ := c.Up(); up {
			t.Error("connected with the wrong token")
		}
	}
	if err := os.Chmod(wrong, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Connect(nats.Options{URL: s.URL(), TokenFile: wrong}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a token that others read: %v", err)
	}
	if _, err := nats.Connect(nats.Options{URL: "http://%zz"}); err == nil {
		t.Error("a URL that is none: no error")
	}
	in, err := nats.Connect(nats.Options{Embedded: s})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.WaitUp(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

func BenchmarkStream(b *testing.B) {
	server := startServer(b, b.TempDir(), 0)
	s, err := nats.Connect(nats.Options{Embedded: server})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	ctx := b.Context()
	r, err := s.Open(ctx, stream.Cursor{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.Close() })
	b.ReportAllocs()
	b.SetBytes(32 << 10)
	go func() { // ends with the last acknowledgement, or with ctx
		for sent := 0; sent < b.N; sent += 64 {
			var group []stream.Message
			for i := sent; i < min(sent+64, b.N); i++ {
				group = append(group, stream.Message{ID: fmt.Sprint(b.N, i), Data: make([]byte, 32<<10)})
			}
			if _, err := s.Publish(ctx, group); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for range b.N {
		if _, err := r.Next(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
