package process

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSplitPort(t *testing.T) {
	f := func(address, host string, port int, ok bool) {
		t.Helper()
		gotHost, gotPort, err := SplitPort(address)
		if (err == nil) != ok || ok && (gotHost != host || gotPort != port) {
			t.Errorf("%q: %q, %d, %v; want %q, %d", address, gotHost, gotPort, err, host, port)
		}
	}
	f("127.0.0.1:4222", "127.0.0.1", 4222, true)
	f(":4222", "127.0.0.1", 4222, true)
	f("[::1]:0", "::1", 0, true)
	f("stream.internal:4222", "stream.internal", 4222, true)
	f("127.0.0.1", "", 0, false)
	f("127.0.0.1:65536", "", 0, false)
	f("127.0.0.1:-1", "", 0, false)
}

// Who names no host opens nothing to the network.
func TestListen(t *testing.T) {
	f := func(address string, loopback bool) {
		t.Helper()
		listener, err := Listen("listen", address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		if ip := listener.Addr().(*net.TCPAddr).IP; ip.IsLoopback() != loopback {
			t.Errorf("%q: listens on %v", address, ip)
		}
	}
	f(":0", true)
	f("127.0.0.1:0", true)
	f("0.0.0.0:0", false)
	for _, address := range []string{"8091", "127.0.0.1:x", "256.0.0.1:1"} {
		if _, err := Listen("listen", address); err == nil || !strings.Contains(err.Error(), "listen") || !strings.Contains(err.Error(), address) {
			t.Errorf("%q: %v, want an error that names the setting and its value", address, err)
		}
	}
}

func TestAdmin(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	a, err := StartAdmin(":0", nil, mux, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": "go_goroutines", "/debug/pprof/": "heap"} {
		response, err := client.Get("http://" + a.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, no %q in %.200s", path, response.Status, err, want, body)
		}
	}
	client.CloseIdleConnections()
	if err := a.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := client.Get("http://" + a.Addr() + "/healthz"); err == nil {
		t.Error("it answers after Shutdown")
	}
}

func TestLogger(t *testing.T) {
	f := func(format, want string) {
		t.Helper()
		var out bytes.Buffer
		log := NewLogger(slog.LevelWarn, format, &out)
		log.Info("unheard")
		log.Warn("heard")
		if s := out.String(); !strings.Contains(s, want) || strings.Contains(s, "unheard") {
			t.Errorf("%s: %s", format, s)
		}
	}
	f("text", "msg=heard")
	f("json", `"msg":"heard"`)
}
