// Package landings reads the ranker's campaign file: campaigns that a click may be sent to, with their landing pages and what a
// sale is worth. A landing page comes from this file alone, never from a request.
package landings

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"gavel/internal/strictyaml"
)

// Bounds of the file.
const (
	MaxCampaigns = 1 << 20
	maxID        = 64   // bytes: it must fit a click's token
	maxPage      = 1024 // bytes of a landing page
)

// Token is the macro of a landing page that becomes the click's token. A page without it gets the token as the query parameter
// ClickParam.
const (
	Token      = "${TOKEN}"
	ClickParam = "gavel_click"
)

// Set is the active campaigns of a file, ascending by id. Immutable.
type Set struct {
	IDs       []string
	Values    []float64 // of a sale, in the unit of the file; above 0
	LogValues []float64 // their natural logarithms
	Models    []int32   // by which model each is scored: the index in the names that Parser was given
	pages     []page
	places    map[string]int32
	inactive  int
}

// page is a landing page, around its token.
type page struct{ before, after string }

// Len returns how many campaigns are active.
func (s *Set) Len() int { return len(s.IDs) }

// Inactive returns how many campaigns of the file are not active.
func (s *Set) Inactive() int { return s.inactive }

// Place returns the place of an active campaign.
func (s *Set) Place(id string) (place int32, ok bool) {
	place, ok = s.places[id]
	return place, ok
}

// AppendPage appends the landing page of a campaign with a token, which must be of letters, digits, - and _.
func (s *Set) AppendPage(dst []byte, place int32, token string) []byte {
	p := &s.pages[place]
	return append(append(append(dst, p.before...), token...), p.after...)
}

// document is the file.
type document struct {
	Campaigns []campaign `yaml:"campaigns"`
}

type campaign struct {
	ID      string `yaml:"id"`
	Landing string `yaml:"landing"`
	Value   value  `yaml:"value"`
	Active  *bool  `yaml:"active"` // nil: true
	Model   string `yaml:"model"`

	line int
}

// UnmarshalYAML decodes a campaign strictly and keeps its line.
func (c *campaign) UnmarshalYAML(node *yaml.Node) error {
	type plain campaign
	if node.Kind != yaml.MappingNode {
		return misread(node, "a campaign must be a map with id, landing and value")
	}
	var faults []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains([]string{"id", "landing", "value", "active", "model"}, key.Value) {
			faults = append(faults, fmt.Sprintf("line %d: %q is no key of a campaign; the keys are id, landing, value, active, model", key.Line, key.Value))
		}
	}
	err := node.Decode((*plain)(c))
	c.line = node.Line
	var decode *yaml.TypeError
	if errors.As(err, &decode) {
		faults = append(faults, decode.Errors...)
	} else if err != nil {
		return err
	}
	if len(faults) > 0 {
		return &yaml.TypeError{Errors: faults}
	}
	return nil
}

func misread(node *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s", node.Line, fmt.Sprintf(format, args...))}}
}

// value is what a sale is worth. The zero value is of a campaign without the key.
type value float64

// UnmarshalYAML reads a number above 0.
func (v *value) UnmarshalYAML(node *yaml.Node) error {
	var f float64
	if err := node.Decode(&f); err != nil || !(f > 0) || f > 1e12 {
		return misread(node, "value: %q is not what a sale is worth; write a number above 0 and at most 1e12", node.Value)
	}
	*v = value(f)
	return nil
}

// Parse makes the set of a file's content, for who does not care which model scores a campaign. The error joins every fault, each with
// path and line.
func Parse(path string, data []byte) (*Set, error) { return parse(path, data, nil) }

// Parser returns what Parse is for a ranker with these models: a campaign may name one of them, and must if there are several.
func Parser(models []string) func(path string, data []byte) (*Set, error) {
	return func(path string, data []byte) (*Set, error) { return parse(path, data, models) }
}

func parse(path string, data []byte, models []string) (*Set, error) {
	var doc document
	if err := strictyaml.Decode(path, data, &doc); err != nil {
		return nil, err
	}
	var faults []error
	if len(doc.Campaigns) == 0 {
		faults = append(faults, fmt.Errorf("%s: campaigns: is empty; list at least one campaign", path))
	}
	if len(doc.Campaigns) > MaxCampaigns {
		faults = append(faults, fmt.Errorf("%s: campaigns: has %d campaigns; at most %d fit", path, len(doc.Campaigns), MaxCampaigns))
	}
	first := make(map[string]int, len(doc.Campaigns))
	for _, c := range doc.Campaigns {
		for _, fault := range append(c.faults(), c.modelFaults(models)...) {
			faults = append(faults, fmt.Errorf("%s: line %d: campaign %q: %s", path, c.line, c.ID, fault))
		}
		if at, twice := first[c.ID]; twice {
			faults = append(faults, fmt.Errorf("%s: line %d: campaign %q: is on line %d already", path, c.line, c.ID, at))
		}
		first[c.ID] = c.line
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return newSet(doc.Campaigns, models), nil
}

func newSet(all []campaign, models []string) *Set {
	slices.SortFunc(all, func(a, b campaign) int { return strings.Compare(a.ID, b.ID) })
	s := &Set{places: make(map[string]int32, len(all))}
	for _, c := range all {
		if c.Active != nil && !*c.Active {
			s.inactive++
			continue
		}
		s.places[c.ID] = int32(len(s.IDs))
		s.IDs = append(s.IDs, c.ID)
		s.Values = append(s.Values, float64(c.Value))
		s.LogValues = append(s.LogValues, math.Log(float64(c.Value)))
		s.Models = append(s.Models, int32(max(slices.Index(models, c.Model), 0)))
		s.pages = append(s.pages, split(c.Landing))
	}
	return s
}

func (c *campaign) faults() (faults []string) {
	if c.ID == "" || len(c.ID) > maxID || !utf8.ValidString(c.ID) || strings.ContainsFunc(c.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		faults = append(faults, fmt.Sprintf("id: must be 1 to %d bytes of text without control characters", maxID))
	}
	if c.Value == 0 {
		faults = append(faults, "value: is missing; say what a sale is worth")
	}
	if fault := pageFault(c.Landing); fault != "" {
		faults = append(faults, "landing: "+fault)
	}
	return faults
}

func (c *campaign) modelFaults(models []string) (faults []string) {
	switch {
	case c.Model == "" && len(models) > 1:
		faults = append(faults, fmt.Sprintf("model: is missing; name one of %q", models))
	case c.Model != "" && len(models) > 0 && !slices.Contains(models, c.Model):
		faults = append(faults, fmt.Sprintf("model: %q is none of %q", c.Model, models))
	}
	return faults
}

// pageFault returns what is wrong with a landing page, or "". A page that passes cannot break out of a Location header, and
// its scheme and host do not depend on a token.
func pageFault(text string) string {
	if text == "" || len(text) > maxPage {
		return fmt.Sprintf("must be an http or https URL of at most %d bytes", maxPage)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`", c) >= 0 {
			return fmt.Sprintf("has the character %q; write it percent-encoded", c)
		}
	}
	if strings.Count(text, Token) > 1 {
		return "has the macro " + Token + " twice; use it once"
	}
	const mark = "0token0"
	u, err := url.Parse(strings.Replace(text, Token, mark, 1))
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "is not an http or https URL, such as https://shop.example/?click=" + Token
	case u.User != nil:
		return "has a user name; remove it"
	case strings.Contains(u.Host, mark):
		return "has the macro " + Token + " in its host; use it in the path or query"
	case strings.ContainsAny(strings.Replace(text, Token, "", 1), "{}"):
		return "has another macro than " + Token + "; write { and } percent-encoded if you mean them"
	}
	return ""
}

// split returns the parts of a sound page. A page without the macro gets the parameter ClickParam at the end of its query.
func split(text string) page {
	if before, after, ok := strings.Cut(text, Token); ok {
		return page{before, after}
	}
	before, fragment, ok := strings.Cut(text, "#")
	if ok {
		fragment = "#" + fragment
	}
	switch {
	case !strings.Contains(before, "?"):
		before += "?"
	case !strings.HasSuffix(before, "?") && !strings.HasSuffix(before, "&"):
		before += "&"
	}
	return page{before + ClickParam + "=", fragment}
}
