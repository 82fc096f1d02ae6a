package rankings

import (
	"strings"
	"time"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/tally"
)

const maxRefused = 20 // files that the page lists

// state is the content of the page and of /campaigns.json.
type state struct {
	Ranker string    `json:"ranker"`
	At     time.Time `json:"at"`
	Since  time.Time `json:"since"` // of the counts
	Read   time.Time `json:"read"`  // when the stream stored the last message that is counted; zero: none
	Query  query     `json:"query"`

	Active      int       `json:"active"`      // campaigns of the file
	Classifiers int       `json:"classifiers"` // that serve
	Bytes       int64     `json:"bytes"`       // of them
	Total       figures   `json:"total"`       // of all campaigns that are found
	Found       int       `json:"found"`
	Lines       []line    `json:"campaigns"`
	Files       int       `json:"refused_files"` // classifier files that do not serve
	Refused     []refused `json:"refused"`       // the first of them
}

type refused struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy"`
}

// figures are counts and what follows from them.
type figures struct {
	tally.Counts
	Rate  *float64 `json:"rate"`  // clicks with a sale by clicks; null: no click
	Ratio *float64 `json:"ratio"` // mean prediction by rate; null: no sale, or no prediction
}

func newFigures(c tally.Counts) figures {
	f := figures{Counts: c}
	if c.Clicks > 0 {
		seen := float64(c.Sold) / float64(c.Clicks)
		f.Rate = &seen
		if c.Sold > 0 && c.Scored > 0 {
			ratio := c.Predicted / float64(c.Scored) / seen
			f.Ratio = &ratio
		}
	}
	return f
}

// line is one campaign.
type line struct {
	Campaign string `json:"campaign"`
	Active   bool   `json:"active"`
	figures
	Version   uint64  `json:"version"` // of its classifier; 0: none, and all below is 0
	Prior     uint64  `json:"prior"`
	Age       float64 `json:"age_seconds"` // 0: unknown
	Rows      int64   `json:"rows"`
	Positives int64   `json:"positives"`
	Bytes     int64   `json:"bytes"`
	Updates   int     `json:"updates"`
}

// state gathers what a query asks for: the campaigns that are active, those that have a classifier, and those that had clicks or sales.
func (p *Page) state(q query) *state {
	set, counts, serving, now := p.Campaigns(), p.Counts(q.Days), p.Classifiers(), p.Now()
	s := &state{Ranker: p.Ranker, At: now, Since: counts.From, Read: counts.Last, Query: q,
		Active: set.Len(), Classifiers: len(serving), Bytes: p.Memory(), Lines: []line{}, Refused: []refused{}}
	all := p.Refused()
	s.Files = len(all)
	for _, r := range all[:min(len(all), maxRefused)] {
		s.Refused = append(s.Refused, refused{r.File, r.Reason, r.Remedy})
	}

	lines := make([]line, 0, set.Len())
	places := make(map[string]int, set.Len())
	place := func(campaign string) *line {
		at, known := places[campaign]
		if !known {
			at = len(lines)
			places[campaign] = at
			lines = append(lines, line{Campaign: campaign})
		}
		return &lines[at]
	}
	for _, id := range set.IDs {
		place(id).Active = true
	}
	for id, c := range counts.Campaigns {
		place(id).figures = newFigures(c)
	}
	addClassifiers(place, serving, s.Bytes, now)

	search := strings.ToLower(q.Search)
	var total tally.Counts
	for i := range lines {
		if search == "" || strings.Contains(strings.ToLower(lines[i].Campaign), search) {
			total.Add(lines[i].Counts)
			lines[s.Found] = lines[i]
			s.Found++
		}
	}
	lines = lines[:s.Found]
	s.Total = newFigures(total)
	sortLines(lines, q.Sort, q.Order)
	from := min(q.From, len(lines))
	s.Lines = append(s.Lines, lines[from:min(from+q.Limit, len(lines))]...)
	return s
}

// addClassifiers adds what campaigns have as classifiers. Memory is held for all of them together: each has a share by its weights.
func addClassifiers(place func(string) *line, serving []classifiers.Serving, bytes int64, now time.Time) {
	weights := int64(0)
	for i := range serving {
		weights += serving[i].Weights + 1 // the intercept
	}
	for i := range serving {
		c, l := &serving[i], place(serving[i].Campaign)
		l.Version, l.Prior, l.Rows, l.Positives, l.Updates = c.Version, c.Prior, c.Rows, c.Positives, c.Updates
		if !c.Trained.IsZero() {
			l.Age = max(now.Sub(c.Trained).Seconds(), 0)
		}
		l.Bytes = int64(float64(bytes) * float64(c.Weights+1) / float64(weights))
	}
}

// Columns are the page's.
func (s *state) Columns() []column { return columns }

// Periods are the numbers of days that can be shown.
func (s *state) Periods() (all []int) {
	for d := range tally.Days {
		all = append(all, d+1)
	}
	return all
}

// First, Last and Next are lines, counted from 1, 1 and 0.
func (s *state) First() int { return min(s.Query.From+1, s.Found) }

// Last is the last line that is shown.
func (s *state) Last() int { return s.Query.From + len(s.Lines) }

// Previous is the first line of the page before.
func (s *state) Previous() int { return max(s.Query.From-s.Query.Limit, 0) }

// Behind is how old the counts are; below a minute they count as up to date.
func (s *state) Behind() float64 { return s.At.Sub(s.Read).Seconds() }
