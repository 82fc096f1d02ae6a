package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const maxListed = 20 // lines of a list, in text

// Text writes the report for a terminal.
func (r *Report) Text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("%s version %d: %s a row alone, %s a row among %d; %d nodes, rewritten to %d stages", r.Model, r.Version,
		duration(r.Total.One), duration(r.Total.Row), manyRows, r.Nodes, len(r.Stages))
	line("%s of its own, %s shared with others; loaded and checked in %s", size(r.Owned()), size(r.Together()), duration(float64(r.Load.Nanoseconds())))
	for _, f := range r.Failed {
		line("not loaded: %s", f)
	}
	line("\nThe stages, in the order in which they run\n")
	line("#\tstage\tform\tgives\talone\tamong %d\tshare\tbytes\tshared with\tfrom", manyRows)
	for i, s := range r.Stages {
		c := r.Costs[i]
		line("%d\t%s\t%s\t%s\t%s\t%s\t%.0f %%\t%s\t%d\t%s", len(r.Inputs)+i, s.Op, form(s), s.Value, duration(c.One), duration(c.Row),
			percent(c.Row, r.Total.Row), size(s.Bytes), r.Others(s.Users), end(near(place(s)), 60))
	}
	line("\nThe rules that rewrote it\n")
	for _, f := range r.Rules {
		line("%s\t%d times\t%s", f.Rule, f.Count, end(strings.Join(f.Places, "; "), 80))
	}
	if len(r.Rules) == 0 {
		line("none")
	}
	line("\nThe parameters, the largest first\n")
	for _, o := range r.Objects[:min(len(r.Objects), maxListed)] {
		line("%s\t%s\t%s\tshared with %d", o.Sum[:12], o.Kind, size(o.Bytes), r.Others(o.Users))
	}
	if more := len(r.Objects) - maxListed; more > 0 {
		line("%d more", more)
	}
	if r.Beside > 0 {
		line("\nWho shares its stages (%d other models were loaded)\n", r.Beside)
		for _, s := range r.Sharing[:min(len(r.Sharing), maxListed)] {
			line("%s\t%d of %d stages", s.Version, s.Stages, len(r.Stages))
		}
		if more := len(r.Sharing) - maxListed; more > 0 {
			line("%d more", more)
		}
		if len(r.Sharing) == 0 {
			line("none of them")
		}
	}
	line("\nThe model as it was written\n\n%s", r.Source)
	return w.Flush()
}
