package explain

import (
	"fmt"
	"strings"

	"gavel/internal/engine/plan"
)

// duration is a time in ns, for people.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	default:
		return fmt.Sprintf("%.0f ns", ns)
	}
}

// size is bytes, for people.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// percent is a part of a whole, in per cent; 0 of nothing.
func percent(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * part / whole
}

// short is the first so many characters of a text that is longer.
func short(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// end is the last so many characters of a text that is longer.
func end(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return "…" + string(r[len(r)-n+1:])
	}
	return text
}

// place is where a stage comes from, in the model as it was written: what its name has in brackets.
func place(s plan.StageUse) string {
	if _, after, ok := strings.Cut(s.Name, "("); ok {
		return strings.TrimPrefix(strings.TrimSuffix(after, ")"), "model: ")
	}
	return s.Name
}

// near is the innermost part of a place, with the step that it is.
func near(place string) string {
	if i := strings.LastIndex(place, " > "); i >= 0 {
		return place[i+len(" > "):]
	}
	return place
}

// form is the physical form of a stage: how its parameters were made.
func form(s plan.StageUse) string { return strings.Join(s.How, ", ") }

// Others is how many versions other than the report's are among the users.
func (r *Report) Others(users []string) int {
	n := len(users)
	for _, u := range users {
		if u == r.User {
			n--
		}
	}
	return n
}

// Owned is the bytes outside Go's heap that would be freed with the version; Together those that others use too.
func (r *Report) Owned() int64    { return r.Memory.Program + r.Memory.OwnStages + r.Memory.OwnMapped }
func (r *Report) Together() int64 { return r.Memory.SharedStages + r.Memory.SharedMapped }
