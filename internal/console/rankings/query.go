package rankings

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gavel/internal/rank/tally"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxSearch    = 256 // bytes
)

// query is what a request asks for.
type query struct {
	Search  string `json:"q"`
	Sort    string `json:"sort"`
	Order   string `json:"order"` // asc or desc
	Days    int    `json:"days"`
	From    int    `json:"from"`  // the first line, from 0
	Limit   int    `json:"limit"` // lines
	Refresh int    `json:"-"`     // seconds after which a browser loads the page again; 0: never
}

func parseQuery(values url.Values) (query, error) {
	q := query{Search: strings.TrimSpace(values.Get("q")), Sort: cmp.Or(values.Get("sort"), "clicks"), Order: values.Get("order")}
	if len(q.Search) > maxSearch {
		return q, fmt.Errorf("q: has %d bytes; use at most %d", len(q.Search), maxSearch)
	}
	at := slices.IndexFunc(columns, func(c column) bool { return c.Key == q.Sort })
	if at < 0 {
		return q, fmt.Errorf("sort: %q is no column; the columns are %s", q.Sort, strings.Join(keys(), ", "))
	}
	q.Order = cmp.Or(q.Order, columns[at].First)
	if q.Order != asc && q.Order != desc {
		return q, fmt.Errorf("order: %q is neither asc nor desc", q.Order)
	}
	for _, number := range []struct {
		name             string
		to               *int
		least, most, def int
	}{
		{"days", &q.Days, 1, tally.Days, tally.Days}, {"from", &q.From, 0, 1 << 30, 0},
		{"limit", &q.Limit, 1, maxLimit, defaultLimit}, {"refresh", &q.Refresh, 0, 3600, 0},
	} {
		*number.to = number.def
		if text := values.Get(number.name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < number.least || n > number.most {
				return q, fmt.Errorf("%s: %.40q is not a number from %d to %d", number.name, text, number.least, number.most)
			}
			*number.to = n
		}
	}
	return q, nil
}

// link is the page's address with a query.
func (q query) link() string {
	v := url.Values{"sort": {q.Sort}, "order": {q.Order}, "days": {strconv.Itoa(q.Days)}}
	if q.Search != "" {
		v.Set("q", q.Search)
	}
	for name, n := range map[string]int{"from": q.From, "refresh": q.Refresh} {
		if n > 0 {
			v.Set(name, strconv.Itoa(n))
		}
	}
	if q.Limit != defaultLimit {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return "?" + v.Encode()
}

// Sorted is the address of the page sorted by a column: in the other order, if it is sorted by that one.
func (q query) Sorted(by column) string {
	if q.Sort == by.Key {
		q.Order = map[string]string{asc: desc, desc: asc}[q.Order]
	} else {
		q.Sort, q.Order = by.Key, by.First
	}
	q.From = 0
	return q.link()
}

// At is the address of the page from another line on.
func (q query) At(from int) string {
	q.From = max(from, 0)
	return q.link()
}

// Over is the address of the page with other days.
func (q query) Over(days int) string {
	q.Days = days
	return q.link()
}

// Every is the address of the page that is loaded again after some seconds.
func (q query) Every(seconds int) string {
	q.Refresh = seconds
	return q.link()
}
