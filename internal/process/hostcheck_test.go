package process

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

func TestHostCheck(t *testing.T) {
	handler := HostCheck([]string{"Bidder.internal"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	f := func(host string, want int) {
		t.Helper()
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "localhost:8091", "LocalHost.", "x.localhost:1", "127.0.0.1", "127.0.0.1:8091", "[::1]", "[::1]:8091", "10.1.2.3:8091",
		"bidder.internal:8091", "BIDDER.internal", name, ""} {
		f(host, 200)
	}
	for _, host := range []string{"evil.example", "evil.example:8091", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost", "bidder.internal.evil.example", "[evil]"} {
		f(host, 421)
	}
}
