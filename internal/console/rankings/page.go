// Package rankings is the page of a ranker's operators: what became of each campaign's clicks, and which classifier it has.
//
// The page, GET /, is plain HTML without a script: to sort is a link, to search a form. GET /campaigns.json takes the same parameters
// and has the same figures. Only the lines that are shown are sent, so that the page is as light with 50,000 campaigns as with five.
package rankings

import (
	"bytes"
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"time"

	"gavel/internal/console"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/tally"
)

//go:embed page
var files embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"whole": whole, "bytes": memory, "age": age, "sum": decimal, "rate": rate, "ratio": ratio, "time": clock,
}).ParseFS(files, "page/page.html"))

// contentPolicy allows the page to load its style and to send its form to its own server. It forbids scripts, other hosts, and
// frames around the page. Images may be data URLs: the page's icon is an empty one, so that browsers do not request /favicon.ico.
const contentPolicy = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Page is a ranker's page. All functions are called concurrently. The fields must not change after Register.
type Page struct {
	Ranker      string // its name
	Campaigns   func() *landings.Set
	Counts      func(days int) tally.Snapshot
	Classifiers func() []classifiers.Serving
	Refused     func() []classifiers.Refusal
	Memory      func() int64 // of all classifiers, bytes
	Now         func() time.Time
}

// Register adds the page, its style and /campaigns.json to the admin server's mux.
func (p *Page) Register(mux *http.ServeMux) {
	style, err := files.ReadFile("page/style.css")
	if err != nil {
		panic(err) // it is embedded
	}
	mux.HandleFunc("GET /console/rankings.css", func(w http.ResponseWriter, _ *http.Request) {
		console.Answer(w, "text/css; charset=utf-8", contentPolicy, "no-cache", style)
	})
	mux.HandleFunc("GET /{$}", p.with("text/html; charset=utf-8", func(s *state) ([]byte, error) {
		var out bytes.Buffer
		err := pageTemplate.Execute(&out, s)
		return out.Bytes(), err
	}))
	mux.HandleFunc("GET /campaigns.json", p.with("application/json", func(s *state) ([]byte, error) { return json.Marshal(s) }))
}

// with answers with what render makes of the state that a request asks for.
func (p *Page) with(contentType string, render func(*state) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := parseQuery(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body, err := render(p.state(q))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		console.Answer(w, contentType, contentPolicy, "no-store", body)
	}
}
