package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gavel/internal/engine"
)

// The drawing's measures, in px.
const (
	boxWidth, boxHeight = 268, 58
	gapAcross, gapDown  = 18, 34
	lineWidth           = 2
	margin              = 12
)

const line = "line" // the kind of a box that is only a line past the others of its layer; drawn as an arrow

// box is inputs, stages or an output in the drawing. Equal ones side by side are one box.
type box struct {
	Kind    string // "input", "stage" or "output"; line while places are found
	Title   string
	Note    string
	Gives   string  // the kind of its value
	Of      int     // how many it stands for
	Cost    float64 // ns a row among many
	Share   float64 // of the cost of all, in per cent
	Shared  int     // other versions that share it
	X, Y    int
	reads   []int // boxes
	layer   int
	readers string // what reads it
}

// Below is the box's last line.
func (b box) Below() string {
	if b.Kind != "stage" {
		return ""
	}
	text := duration(b.Cost) + ", " + b.Gives
	if b.Shared > 0 {
		text += fmt.Sprintf(", %d share it", b.Shared)
	}
	return short(text, 42)
}

// Head is the box's first line.
func (b box) Head() string {
	if b.Of > 1 {
		return fmt.Sprintf("%d × %s", b.Of, short(b.Title, 24))
	}
	return short(b.Title, 30)
}

// width is a box's, or the room of a line that passes its layer.
func (b box) width() int {
	if b.Kind == line {
		return lineWidth
	}
	return boxWidth
}

func (b box) center() int { return b.X + b.width()/2 }

// arrow is from the foot of a box to the head of another, or a piece of that beside the boxes of a layer.
type arrow struct{ X1, Y1, X2, Y2, Middle int }

// drawing is boxes in layers: each below all that it reads.
type drawing struct {
	Boxes         []box
	Arrows        []arrow
	Width, Height int
}

// draw lays the stages out: a box's layer is one more than the deepest that it reads, and boxes of a layer stand in the order of
// the middle of what they read, so that few arrows cross.
func (r *Report) draw() *drawing {
	d := &drawing{}
	for _, f := range r.Inputs {
		d.Boxes = append(d.Boxes, box{Kind: "input", Title: f.Name, Note: kind(f), Of: 1})
	}
	for i, s := range r.Stages {
		b := box{Kind: "stage", Title: s.Op, Note: end(near(place(s)), 40), Gives: s.Value, Of: 1, Cost: r.Costs[i].Row, Shared: r.Others(s.Users), reads: s.Reads}
		if f := form(s); f != "" {
			b.Title += ": " + f
		}
		d.Boxes = append(d.Boxes, b)
	}
	for i, f := range r.Outputs {
		d.Boxes = append(d.Boxes, box{Kind: "output", Title: f.Name, Note: kind(f), Of: 1, reads: []int{r.Gives[i]}})
	}
	d.layers()
	d.join("stage")
	d.join("input")
	for i := range d.Boxes {
		d.Boxes[i].Share = percent(d.Boxes[i].Cost, r.Total.Row)
	}
	boxes := len(d.Boxes)
	d.lead()
	d.place()
	d.Boxes = d.Boxes[:boxes]
	return d
}

func kind(f engine.Field) string { return fmt.Sprintf("%v[%d]", f.Type, f.Width) }

func (d *drawing) layers() {
	for i := range d.Boxes {
		for _, from := range d.Boxes[i].reads {
			d.Boxes[i].layer = max(d.Boxes[i].layer, d.Boxes[from].layer+1)
		}
	}
}

// join makes one box of those of a layer that are alike and read by the same boxes.
func (d *drawing) join(kind string) {
	for i := range d.Boxes {
		d.Boxes[i].readers = ""
	}
	for i, b := range d.Boxes {
		for _, from := range b.reads {
			d.Boxes[from].readers += fmt.Sprint(i, " ")
		}
	}
	first := map[string]int{} // by what makes boxes alike: the place of the one that is kept
	stands := make([]int, len(d.Boxes))
	var kept []box
	for i, b := range d.Boxes {
		alike := fmt.Sprint(b.Kind, b.layer, b.readers)
		if b.Kind == "stage" {
			alike += b.Title + b.Note
		}
		at, ok := first[alike]
		if b.Kind != kind || !ok {
			first[alike], stands[i] = len(kept), len(kept)
			kept = append(kept, b)
			continue
		}
		stands[i] = at
		k := &kept[at]
		if k.Of++; kind == "input" {
			k.Title, k.Note = "inputs", short(strings.TrimSuffix(noteOf(*k), "…")+", "+b.Title, 40)
		}
		k.Cost += b.Cost
		k.Shared = min(k.Shared, b.Shared)
		k.reads = append(slices.Clone(k.reads), b.reads...)
	}
	for i := range kept {
		var reads []int
		for _, from := range kept[i].reads {
			if !slices.Contains(reads, stands[from]) {
				reads = append(reads, stands[from])
			}
		}
		kept[i].reads = reads
	}
	d.Boxes = kept
}

// noteOf is the names that a box of inputs has so far.
func noteOf(b box) string {
	if b.Of == 2 {
		return b.Title
	}
	return b.Note
}

// lead gives what passes layers a line in each of them, so that it runs beside their boxes. What is read several times has one.
func (d *drawing) lead() {
	lines := map[[2]int]int{} // by what is read, and the layer
	for i := range len(d.Boxes) {
		for k, read := range d.Boxes[i].reads {
			from := read
			for layer := d.Boxes[read].layer + 1; layer < d.Boxes[i].layer; layer++ {
				at, ok := lines[[2]int{read, layer}]
				if !ok {
					at = len(d.Boxes)
					lines[[2]int{read, layer}] = at
					d.Boxes = append(d.Boxes, box{Kind: line, layer: layer, reads: []int{from}})
				}
				from = at
			}
			d.Boxes[i].reads[k] = from
		}
	}
}

// place sets places and arrows.
func (d *drawing) place() {
	var layers [][]int
	for i, b := range d.Boxes {
		for len(layers) <= b.layer {
			layers = append(layers, nil)
		}
		layers[b.layer] = append(layers[b.layer], i)
	}
	widths := make([]int, len(layers))
	for depth, l := range layers {
		widths[depth] = -gapAcross
		for _, i := range l {
			widths[depth] += d.Boxes[i].width() + gapAcross
		}
	}
	d.Width = 2*margin + slices.Max(widths)
	d.Height = 2*margin + len(layers)*(boxHeight+gapDown) - gapDown
	for depth, l := range layers {
		slices.SortStableFunc(l, func(a, b int) int { return cmp.Compare(d.middle(a), d.middle(b)) })
		left := (d.Width - widths[depth]) / 2
		for _, i := range l {
			d.Boxes[i].X, d.Boxes[i].Y = left, margin+depth*(boxHeight+gapDown)
			left += d.Boxes[i].width() + gapAcross
		}
	}
	for _, b := range d.Boxes {
		for _, from := range b.reads {
			f := d.Boxes[from]
			d.arrow(f.center(), f.Y+boxHeight, b.center(), b.Y)
		}
		if b.Kind == line {
			d.arrow(b.center(), b.Y, b.center(), b.Y+boxHeight)
		}
	}
}

func (d *drawing) arrow(x1, y1, x2, y2 int) {
	d.Arrows = append(d.Arrows, arrow{X1: x1, Y1: y1, X2: x2, Y2: y2, Middle: (y1 + y2) / 2})
}

// middle is the mean place of what a box reads.
func (d *drawing) middle(i int) float64 {
	b := d.Boxes[i]
	if len(b.reads) == 0 {
		return float64(b.center())
	}
	sum := 0
	for _, from := range b.reads {
		sum += d.Boxes[from].center()
	}
	return float64(sum) / float64(len(b.reads))
}
