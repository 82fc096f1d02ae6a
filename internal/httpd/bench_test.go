package httpd

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/valyala/fasthttp"

	"gavel/internal/race"
)

// asked returns a function that sends a request on a connection and reads the answer, which ends with an empty line.
func asked(t testing.TB, path string) func() {
	t.Helper()
	var g gate
	_, address := start(t, func(o *Options) {
		o.Gate = g.gate()
		o.Handler = func(c *fasthttp.RequestCtx) { c.SetStatusCode(204) }
	})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	text := []byte(request("POST", path, string(bytes.Repeat([]byte("x"), 2000))))
	in := make([]byte, 4096)
	return func() {
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
		for n := 0; !bytes.HasSuffix(in[:n], headEnd); {
			more, err := c.Read(in[n:])
			if err != nil && err != io.EOF || more == 0 {
				t.Fatal(err)
			}
			n += more
		}
	}
}

// A request allocates nothing, refused or handled.
func TestAllocs(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	for _, path := range []string{"/shed", "/a"} {
		ask := asked(t, path)
		for range 100 {
			ask()
		}
		if n := testing.AllocsPerRun(1000, ask); n > 0 {
			t.Errorf("%s: %v allocations a request", path, n)
		}
	}
}

// BenchmarkRequest measures a request of 2 kB and its empty answer on one connection, with the client's side.
func BenchmarkRequest(b *testing.B) {
	for name, path := range map[string]string{"refused": "/shed", "handled": "/a"} {
		b.Run(name, func(b *testing.B) {
			ask := asked(b, path)
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
	}
}
