// Package people has the users who click a banner: what their browsers send, and what a ranker reads of it. The hidden sale
// model depends on what a ranker reads, so it can be learnt.
package people

import (
	"fmt"
	"strings"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/iso"
)

// The fields of a person that sales depend on, by their place in Names.
const (
	Device = iota
	System
	Browser
	Provider
	Country
	Language
	Hour
	Fields // the number of fields
)

// Names are the fields' names, as a ranker's profile has them.
var Names = [Fields]string{"device", "system", "browser", "provider", "country", "language", "hour"}

// Sizes are the numbers of values of each field. Value 0 of all but the hour is "other": what the tables lack.
var Sizes = [Fields]int{len(devices), len(systems), len(browsers), len(providers), len(countries), len(languages), 24}

// Person is one user.
type Person struct {
	Agent  string // User-Agent
	Offset int    // minutes east of UTC
	codes  [Hour]uint8
}

// Code returns the value of a field at a time: 0 to Sizes[field]-1.
func (p *Person) Code(field int, at time.Time) int {
	if field == Hour {
		return at.UTC().Add(time.Duration(p.Offset) * time.Minute).Hour()
	}
	return int(p.codes[field])
}

var values = [Hour][]string{devices, systems, browsers, providers, countries, languages}

// Text returns the value of a field at a time, as a ranker's profile has it.
func (p *Person) Text(field int, at time.Time) string {
	if field == Hour {
		return hours[p.Code(Hour, at)]
	}
	return values[field][p.codes[field]]
}

var hours = func() (h [24]string) {
	for i := range h {
		h[i] = fmt.Sprint(i)
	}
	return h
}()

// AcceptLanguage is the header that the browser sends.
func (p *Person) AcceptLanguage() string {
	if language := p.Text(Language, time.Time{}); p.codes[Language] != 0 && language != "en" {
		return language + ",en;q=0.5"
	}
	return "en"
}

// Zone is the offset of the user's time zone, as in +05:30.
func (p *Person) Zone() string {
	sign, minutes := '+', p.Offset
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	return fmt.Sprintf("%c%02d:%02d", sign, minutes/60, minutes%60)
}

// Draw draws a person.
func Draw(k dice.Key) Person {
	a := &agents[agentRank.Pick(k.With(1))]
	at := countryRank.Pick(k.With(2))
	p := Person{Agent: a.text, Offset: homes[at].offset}
	p.browse(a)
	p.codes[Country] = uint8(at + 1)
	p.live(homes[at].language, k)
	return p
}

// Of returns the person of a bid request: its user agent, country (alpha-3) and offset are given; k draws the rest. What the
// tables lack is other.
func Of(k dice.Key, agent, country string, offset int) Person {
	p := Person{Agent: agent, Offset: offset}
	if a := agentOf(agent); a != nil {
		p.browse(a)
	}
	language := "en"
	if code := iso.Alpha2(country); code != "" {
		if at := place(countries, code); at > 0 {
			p.codes[Country], language = uint8(at), homes[at-1].language
		}
	}
	p.live(language, k)
	return p
}

func (p *Person) browse(a *agent) {
	p.codes[Device], p.codes[System], p.codes[Browser] = uint8(place(devices, a.device)), uint8(place(systems, a.system)), uint8(place(browsers, a.browser))
}

// live draws the provider and the language, mostly that of the country.
func (p *Person) live(language string, k dice.Key) {
	p.codes[Provider] = uint8(1 + providerRank.Pick(k.With(3)))
	p.codes[Language] = uint8(place(languages, language))
	if k.With(4).Chance(foreign) {
		p.codes[Language] = uint8(1 + k.With(5).Intn(len(languages)-1))
	}
}

func agentOf(text string) *agent {
	for i := range agents {
		if agents[i].text == text {
			return &agents[i]
		}
	}
	return nil
}

// place returns the place of a value in a table, 0 if the table lacks it.
func place(table []string, value string) int {
	for i, v := range table {
		if strings.EqualFold(v, value) {
			return i
		}
	}
	return 0
}
