package explain

import (
	"embed"
	"html/template"
	"io"
)

//go:embed page
var pages embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"duration": duration, "size": size, "percent": percent, "place": place, "near": near, "form": form,
	"ns":    func(d interface{ Nanoseconds() int64 }) float64 { return float64(d.Nanoseconds()) },
	"bar":   func(share float64) float64 { return share * (boxWidth - 2) / 100 },
	"add":   func(a, b int) int { return a + b },
	"first": func(sum string) string { return sum[:12] },
	"boxes": func() [2]int { return [2]int{boxWidth, boxHeight} },
	"rows":  func() int { return manyRows },
}).ParseFS(pages, "page/*"))

// view is what the templates read.
type view struct {
	*Report
	Drawing *drawing
}

// HTML writes one page, which loads nothing and runs no script.
func (r *Report) HTML(out io.Writer) error {
	return templates.ExecuteTemplate(out, "page.html", view{r, r.draw()})
}

// SVG writes the stages as a drawing.
func (r *Report) SVG(out io.Writer) error {
	return templates.ExecuteTemplate(out, "drawing.svg", view{r, r.draw()})
}
