package console

import (
	"fmt"
	"net/http"
)

// RegisterHealth adds GET /healthz, which always answers ok, and GET /readyz. ready returns nil when the process can do
// its work; its error is otherwise the body of a 503. It is called concurrently.
func RegisterHealth(mux *http.ServeMux, ready func() error) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}
