package rankings

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

const (
	asc  = "asc"
	desc = "desc"
)

// column is one that lines can be sorted by.
type column struct {
	Key   string // in a query
	Title string
	About string
	First string // the order that is tried first
	by    func(a, b *line) int
	has   func(*line) bool // nil: each line has a value; those without go last, in either order
}

// number sorts by a number.
func number[T cmp.Ordered](of func(*line) T) func(a, b *line) int {
	return func(a, b *line) int { return cmp.Compare(of(a), of(b)) }
}

func hasClassifier(l *line) bool { return l.Version > 0 }

var columns = []column{
	{"campaign", "Campaign", "its id", asc, func(a, b *line) int { return strings.Compare(a.Campaign, b.Campaign) }, nil},
	{"active", "State", "active: the campaign file has it, and clicks may go to it", desc, number(func(l *line) int {
		if l.Active {
			return 1
		}
		return 0
	}), nil},
	{"clicks", "Clicks", "redirected to its landing page", desc, number(func(l *line) uint64 { return l.Clicks }), nil},
	{"sold", "Sold", "clicks with a sale, by the time of the sale", desc, number(func(l *line) uint64 { return l.Sold }), nil},
	{"rate", "Sold per 1,000", "clicks with a sale among 1,000 clicks", desc, pointed(func(l *line) *float64 { return l.Rate }), func(l *line) bool { return l.Rate != nil }},
	{"predicted", "Predicted", "sum of the probabilities that were predicted for its clicks: the sales that were expected", desc,
		number(func(l *line) float64 { return l.Predicted }), nil},
	{"ratio", "Predicted ÷ seen", "mean prediction by the share of clicks with a sale. 1 is right; with fewer than some 100 sales, chance moves it far", desc,
		pointed(func(l *line) *float64 { return l.Ratio }), func(l *line) bool { return l.Ratio != nil }},
	{"value", "Value", "of its sales, in the unit that they were reported in", desc, number(func(l *line) float64 { return l.Value }), nil},
	{"version", "Classifier", "its version; none: the newest prior gives its probability", desc, number(func(l *line) uint64 { return l.Version }), hasClassifier},
	{"age", "Age", "since it was trained", desc, number(func(l *line) float64 { return l.Age }), hasClassifier},
	{"rows", "Trained on", "examples, and of these with a sale", desc, number(func(l *line) int64 { return l.Rows }), hasClassifier},
	{"bytes", "Memory", "its share of all classifiers' memory, by its weights", desc, number(func(l *line) int64 { return l.Bytes }), hasClassifier},
	{"updates", "Updates", "how often its file was replaced since the ranker started", desc, number(func(l *line) int { return l.Updates }), hasClassifier},
}

// pointed sorts by a number that both lines have.
func pointed(of func(*line) *float64) func(a, b *line) int {
	value := func(l *line) float64 {
		if v := of(l); v != nil {
			return *v
		}
		return math.Inf(-1)
	}
	return func(a, b *line) int { return cmp.Compare(value(a), value(b)) }
}

func keys() (all []string) {
	for _, c := range columns {
		all = append(all, c.Key)
	}
	return all
}

// sortLines sorts by a column; lines that are equal there, by campaign.
func sortLines(lines []line, key, order string) {
	c := columns[slices.IndexFunc(columns, func(c column) bool { return c.Key == key })]
	slices.SortFunc(lines, func(a, b line) int {
		if c.has != nil {
			if has, other := c.has(&a), c.has(&b); has != other {
				if has {
					return -1
				}
				return 1
			}
		}
		n := c.by(&a, &b)
		if order == desc {
			n = -n
		}
		return cmp.Or(n, strings.Compare(a.Campaign, b.Campaign))
	})
}
