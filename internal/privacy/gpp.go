package privacy

import (
	"slices"
	"strings"
)

// platform is what a GPP string says in the sections that apply.
type platform struct {
	state                // of the United States' sections together
	states        bool   // such a section was read
	tc            string // the TCF section
	tcApplies     bool   // gpp_sid names the TCF section
	unreadable    bool   // the string, or a section that applies, cannot be read or is not known
	notApplicable bool   // gpp_sid says that no section applies
}

// Ids in gpp_sid that are not sections.
const (
	sidNone    = -1 // no section applies, if it stands alone
	sidUnknown = 0  // it is not known which apply
)

// readGPP reads a GPP string. sections is gpp_sid: which sections apply. If it is empty or [0], all of the string's do,
// but the TCF section then only gives the consent string: whether it applies, gdpr says.
func readGPP(text string, sections []int) (p platform) {
	if len(sections) == 1 && sections[0] == sidNone {
		p.notApplicable = true
		return p
	}
	p.unreadable = slices.ContainsFunc(sections, func(id int) bool { return id < 0 }) // -1 beside others, too
	named := len(sections) > 0 && !slices.Contains(sections, sidUnknown)
	p.tcApplies = named && slices.Contains(sections, sectionTCF)
	if text == "" && !named {
		return p
	}
	header, rest, more := strings.Cut(text, "~")
	b := newBits(header)
	if len(text) > maxText || !b.whole() || b.take(6) != 3 || b.take(6) != 1 {
		p.unreadable = true
		return p
	}
	read := 0 // of sections
	id := 0
	for range b.take(12) {
		several := b.flag()
		id += b.fibonacci()
		to := id
		if several {
			to += b.fibonacci()
		}
		if b.bad {
			p.unreadable = true
			return p
		}
		for ; id <= to; id++ {
			if !more { // fewer sections than the header says
				p.unreadable = true
				return p
			}
			var section string
			section, rest, more = strings.Cut(rest, "~")
			if !named || slices.Contains(sections, id) {
				read++
				p.section(id, section)
			}
		}
		id = to
	}
	// A section that applies is not in the string, or the string has more than the header says.
	p.unreadable = p.unreadable || more || named && read < distinct(sections)
	return p
}

// section adds what one section says.
func (p *platform) section(id int, text string) {
	switch {
	case id == sectionTCF:
		p.tc = text
	case id == 1, id == 3, id == 4: // TCF v1, which no longer counts; the header; the signature
	case id == sectionUSP:
		switch readUSPrivacy(text) {
		case usOptedOut:
			p.optedOut, p.states = true, true
		case usAllowed:
			p.states = true
		case usUnreadable:
			p.unreadable = true
		}
	case id >= sectionNational && id <= sectionLast:
		s, ok := readState(text, id)
		if !ok {
			p.unreadable = true
			return
		}
		p.states = true
		p.optedOut, p.gpc = p.optedOut || s.optedOut, p.gpc || s.gpc
		p.child, p.childRefused = p.child || s.child, p.childRefused || s.childRefused
	default:
		p.unreadable = true
	}
}

// distinct counts the different sections that a string can have.
func distinct(sections []int) (n int) {
	for i, s := range sections {
		if s > 0 && s != 3 && s != 4 && !slices.Contains(sections[:i], s) {
			n++
		}
	}
	return n
}
