package console

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"gavel/internal/servable"
)

// batcherHTML is the page: one file with its style and script. It loads nothing but /batcher.json.
//
//go:embed batcher.html
var batcherHTML string

// Page shows the batcher at work: GET / is the page, which asks for GET /batcher.json once a second and computes rates
// from the counts. Its fields are set before Register and not changed afterwards.
type Page struct {
	Bidder    string // its name
	Threading string // tensorflow.threading
	Queues    *Queues
	Models    []func() servable.Status // of the managed models, in the order in which they are shown
}

// Register adds the page to the admin server's mux.
func (p *Page) Register(mux *http.ServeMux) {
	policy := pagePolicy(batcherHTML)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write([]byte(batcherHTML)) // an error means that the client has left
	})
	mux.HandleFunc("GET /batcher.json", func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(p.state())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body)
	})
}

// pagePolicy is a Content-Security-Policy that allows a page its own style and script, by their hashes, and requests to its
// own server: nothing else.
func pagePolicy(page string) string {
	return "default-src 'none'; style-src '" + hashOf(page, "style") + "'; script-src '" + hashOf(page, "script") +
		"'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// hashOf is the hash that a policy has to name for the page's only element of a tag.
func hashOf(page, tag string) string {
	_, after, _ := strings.Cut(page, "<"+tag+">")
	content, _, _ := strings.Cut(after, "</"+tag+">")
	sum := sha256.Sum256([]byte(content))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
