package campaigns

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"gavel/internal/auction"
)

// misread is a fault of one value. It is a yaml.TypeError, because the decoder collects those instead of stopping.
func misread(node *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s", node.Line, fmt.Sprintf(format, args...))}}
}

// money is an amount in millionths of the currency. It is written as a decimal number and read exactly, without floats.
type money auction.Micros

// UnmarshalYAML reads "1250", "0.45" or "2.5".
func (m *money) UnmarshalYAML(node *yaml.Node) error {
	whole, fraction, _ := strings.Cut(node.Value, ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if node.Kind != yaml.ScalarNode || whole == "" || len(whole) > 12 || len(fraction) > 6 || !digits(whole) || !digits(fraction) {
		return misread(node, "%q is not an amount of money; write a number with at most six digits after the point, as in 0.45", node.Value)
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 6-len(fraction)), 10, 64)
	if err != nil {
		return misread(node, "%q is not an amount of money: %v", node.Value, err)
	}
	*m = money(n)
	return nil
}

// size is written as "300x250".
type size auction.Size

// UnmarshalYAML reads "300x250".
func (s *size) UnmarshalYAML(node *yaml.Node) error {
	w, h, ok := strings.Cut(node.Value, "x")
	width, err1 := strconv.ParseUint(w, 10, 15)
	height, err2 := strconv.ParseUint(h, 10, 15)
	if node.Kind != yaml.ScalarNode || !ok || err1 != nil || err2 != nil || width == 0 || height == 0 {
		return misread(node, "%q is not a size; write width x height, as in 300x250", node.Value)
	}
	*s = size{int(width), int(height)}
	return nil
}

// hours are hours of the week, ascending, without repeats; 0 is Monday 00:00. They are written as a list of "days
// hours": "mon-fri 8-20" (from 8:00 until 20:00), "sat,sun 10-24" or "all 0-6".
type hours []int

var dayNames = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// UnmarshalYAML reads the list. Each wrong entry is a fault of its own.
func (h *hours) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return misread(node, `hours must be a list, as in ["mon-fri 8-20", "sat,sun 10-24"]`)
	}
	var wrong []string
	for _, item := range node.Content {
		list, ok := parseHours(item.Value)
		if item.Kind != yaml.ScalarNode || !ok {
			wrong = append(wrong, fmt.Sprintf("line %d: %q are not hours of the week; write days and hours, as in "+
				`"mon-fri 8-20", "sat,sun 10-24" or "all 0-6"`, item.Line, item.Value))
		}
		*h = append(*h, list...)
	}
	if len(wrong) > 0 {
		return &yaml.TypeError{Errors: wrong}
	}
	slices.Sort(*h)
	*h = slices.Compact(*h)
	return nil
}

func parseHours(text string) (list []int, ok bool) {
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) != 2 {
		return nil, false
	}
	from, to, ok := span(fields[1], func(s string) int {
		n, err := strconv.ParseUint(s, 10, 6)
		if err != nil {
			return -1
		}
		return int(n)
	})
	if !ok || from >= to || to > 24 {
		return nil, false
	}
	days := fields[0]
	if days == "all" {
		days = "mon-sun"
	}
	for part := range strings.SplitSeq(days, ",") {
		name := func(s string) int { return slices.Index(dayNames, s) }
		first, last, ok := span(part, name)
		if !ok {
			first = name(part)
			last = first
		}
		if first < 0 || first > last {
			return nil, false
		}
		for d := first; d <= last; d++ {
			for hour := from; hour < to; hour++ {
				list = append(list, d*24+hour)
			}
		}
	}
	return list, true
}

// span reads "a-b". value returns -1 for text that it does not know.
func span(text string, value func(string) int) (from, to int, ok bool) {
	a, b, ok := strings.Cut(text, "-")
	from, to = value(a), value(b)
	return from, to, ok && from >= 0 && to >= 0
}
