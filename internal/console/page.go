package console

import (
	"embed"
	"encoding/json"
	"net/http"

	"gavel/internal/models"
)

// files are the page, its style and its scripts, which load nothing but each other and /batcher.json.
//
//go:embed page
var files embed.FS

// served are the files by path, with their types.
var served = []struct{ pattern, file, contentType string }{
	{"GET /{$}", "page/batcher.html", "text/html; charset=utf-8"},
	{"GET /console/style.css", "page/style.css", "text/css; charset=utf-8"},
	{"GET /console/page.js", "page/page.js", "text/javascript; charset=utf-8"},
	{"GET /console/charts.js", "page/charts.js", "text/javascript; charset=utf-8"},
	{"GET /console/numbers.js", "page/numbers.js", "text/javascript; charset=utf-8"},
}

// contentPolicy allows the page style, scripts and data of its own server, and nothing else: no inline script or style, no
// other host, no frame around it. The icon is an empty data URL, so that browsers do not ask for /favicon.ico.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page shows the batcher at work: GET / is the page, which asks for GET /batcher.json once a second and computes rates
// from the counts. Its fields are set before Register and not changed afterwards.
type Page struct {
	Bidder    string // its name
	Threading string // tensorflow.threading
	Queues    *Queues
	Models    []func() models.Status // of the managed models, in the order in which they are shown
}

// Register adds the page to the admin server's mux.
func (p *Page) Register(mux *http.ServeMux) {
	for _, s := range served {
		body, err := files.ReadFile(s.file)
		if err != nil {
			panic(err) // the file is not in the binary: the list above is wrong
		}
		mux.HandleFunc(s.pattern, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, s.contentType, "no-cache", body)
		})
	}
	mux.HandleFunc("GET /batcher.json", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(p.state())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answer(w, "application/json", "no-store", body)
	})
}

func answer(w http.ResponseWriter, contentType, cache string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cache)
	_, _ = w.Write(body) // an error means that the client has left
}
