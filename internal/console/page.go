package console

import (
	"embed"
	"encoding/json"
	"net/http"

	"gavel/internal/models"
)

// files holds the page, its style and its scripts. They load only each other and /batcher.json.
//
//go:embed page
var files embed.FS

// served lists the files that the admin server serves, with their paths and content types.
var served = []struct{ pattern, file, contentType string }{
	{"GET /{$}", "page/batcher.html", "text/html; charset=utf-8"},
	{"GET /console/style.css", "page/style.css", "text/css; charset=utf-8"},
	{"GET /console/page.js", "page/page.js", "text/javascript; charset=utf-8"},
	{"GET /console/charts.js", "page/charts.js", "text/javascript; charset=utf-8"},
	{"GET /console/numbers.js", "page/numbers.js", "text/javascript; charset=utf-8"},
}

// contentPolicy allows the page to load styles, scripts and data from its own server. It forbids inline scripts and
// styles, other hosts, and frames around the page. Images may be data URLs: the page's icon is an empty one, so that
// browsers do not request /favicon.ico.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is a web page that shows the batcher live. The page, GET /, fetches GET /batcher.json once a second and computes
// rates from its counts. The fields must not change after Register.
type Page struct {
	Bidder    string // the bidder's name
	Threading string // the setting tensorflow.threading
	Queues    *Queues
	Models    func() []models.Status // of all models, in the order of the page; called concurrently
}

// Register adds the page, its files and /batcher.json to the admin server's mux.
func (p *Page) Register(mux *http.ServeMux) {
	for _, s := range served {
		body, err := files.ReadFile(s.file)
		if err != nil {
			panic(err) // served names a file that is not embedded
		}
		mux.HandleFunc(s.pattern, func(w http.ResponseWriter, _ *http.Request) {
			Answer(w, s.contentType, contentPolicy, "no-cache", body)
		})
	}
	mux.HandleFunc("GET /batcher.json", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(p.state())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		Answer(w, "application/json", contentPolicy, "no-store", body)
	})
}

// Answer answers with a page or what it loads. contentPolicy is its content security policy, cache its Cache-Control.
func Answer(w http.ResponseWriter, contentType, contentPolicy, cache string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cache)
	_, _ = w.Write(body) // an error means that the client closed the connection
}
