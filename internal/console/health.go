package console

import (
	"fmt"
	"net/http"
)

// RegisterHealth adds GET /healthz, which always answers 200, and GET /readyz. If ready returns nil, /readyz answers 200.
// Otherwise it answers 503, with the error as the body. ready is called concurrently.
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
