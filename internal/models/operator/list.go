package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gavel/internal/models"
)

// List prints the versions of a model, or of all models if model is "": as JSON for programs, or as a table for people.
func (c *Commands) List(ctx context.Context, model string, asJSON bool) error {
	names := []string{model}
	var err error
	if model != "" {
		err = c.checkModel(ctx, model)
	} else {
		names, err = c.Store.Models(ctx)
	}
	if err != nil {
		return err
	}
	all := []models.Listing{}
	for _, name := range names {
		l, err := models.List(ctx, c.Store, name)
		if err != nil {
			return err
		}
		all = append(all, l)
	}
	if asJSON {
		e := json.NewEncoder(c.Out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(c.Out, "%s holds no model\n", c.Store)
		return err
	}
	if err := writeTable(c.Out, all); err != nil {
		return err
	}
	writeFaults(c.Out, all)
	return nil
}

// writeTable prints a line for each version, the newest first.
func writeTable(out io.Writer, all []models.Listing) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tVERSION\tROLE\tAGE\tROWS\tLOG LOSS\tCALIBRATION\tFORMATS\tSIZE\tPINNED")
	for _, l := range all {
		for _, v := range l.Versions {
			role := v.Role
			if v.Share > 0 {
				role = fmt.Sprintf("canary %g %%", v.Share*100)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t", l.Model, v.Version, role)
			pinned := ""
			if v.Role == "stable" {
				pinned = pinText(l.Pointer.Pinned)
			}
			if v.Fault != "" {
				fmt.Fprintf(w, "?\t?\t?\t?\t?\t%s\t%s\n", bytesText(v.Bytes), pinned)
				continue
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", ageText(l.At.Sub(v.Created)), v.Rows, metricText(v.LogLoss, 5), metricText(v.Calibration, 3),
				strings.Join(v.Formats, ", "), bytesText(v.Bytes), pinned)
		}
	}
	return w.Flush()
}

// writeFaults prints the faults of pointers and versions, which are too long for the table.
func writeFaults(out io.Writer, all []models.Listing) {
	for _, l := range all {
		if l.Fault != "" {
			fmt.Fprintf(out, "\n%s: %s\n", l.Model, l.Fault)
		}
		for _, v := range l.Versions {
			if v.Fault != "" {
				fmt.Fprintf(out, "\n%s version %d: %s\n", l.Model, v.Version, v.Fault)
			}
		}
	}
}

func pinText(p *models.Pin) string {
	if p == nil {
		return ""
	}
	text := "since " + p.Since.UTC().Format("2006-01-02 15:04Z")
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

func metricText(value *float64, digits int) string {
	if value == nil {
		return "-"
	}
	return strconv.FormatFloat(*value, 'f', digits, 64)
}

// ageText returns an age in seconds, minutes, hours or days, such as "3h" or "12d".
func ageText(age time.Duration) string {
	switch {
	case age < 2*time.Minute:
		return fmt.Sprintf("%ds", int(age.Seconds()))
	case age < 2*time.Hour:
		return fmt.Sprintf("%dm", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%dh", int(age.Hours()))
	default:
		return fmt.Sprintf("%dd", int(age.Hours()/24))
	}
}

func bytesText(n int64) string {
	switch {
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}
