package console_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gavel/internal/console"
)

func TestHealth(t *testing.T) {
	mux := http.NewServeMux()
	var fault error
	console.RegisterHealth(mux, func() error { return fault })
	f := func(path string, status int, text string) {
		t.Helper()
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != status || !strings.Contains(answer.Body.String(), text) {
			t.Errorf("%s: %d %q, want %d %q", path, answer.Code, answer.Body, status, text)
		}
	}
	f("/healthz", 200, "ok")
	f("/readyz", 200, "ready")
	fault = errors.New("no warm version of ctr")
	f("/healthz", 200, "ok")
	f("/readyz", 503, "no warm version of ctr")
}
