package privacy

import "strings"

// layout says where a section of the United States has what concerns us. Its core is a version of six bits, then fields
// of two bits each, which are numbered from 0. The other fields are notices, categories of sensitive data, and who has
// signed IAB's agreement.
type layout struct {
	optOuts  [3]int8 // of sale, of sharing, of targeted advertising; −1: the section has no such field
	child    int8    // the first field of a known child's consents
	children int8    // how many they are
	fields   int8    // of the whole core
	header   bool    // a segment with the section's id and version comes before the core
}

// Sections of the Global Privacy Platform.
const (
	sectionTCF      = 2  // TCF, European Union
	sectionUSP      = 6  // a US Privacy string
	sectionNational = 7  // United States, national
	sectionLast     = 27 // the last one whose layout is known
)

// states are the layouts by section, from sectionNational on.
var states = [...]layout{
	7 - sectionNational:  {[3]int8{6, 7, 8}, 21, 2, 27, false},  // national, version 1
	8 - sectionNational:  {[3]int8{3, 4, -1}, 14, 2, 20, false}, // California
	9 - sectionNational:  {[3]int8{3, -1, 4}, 13, 1, 17, false}, // Virginia
	10 - sectionNational: {[3]int8{3, -1, 4}, 12, 1, 16, false}, // Colorado
	11 - sectionNational: {[3]int8{4, -1, 5}, 14, 1, 18, false}, // Utah
	12 - sectionNational: {[3]int8{3, -1, 4}, 13, 3, 19, false}, // Connecticut
	13 - sectionNational: {[3]int8{3, -1, 4}, 13, 3, 20, false}, // Florida
	14 - sectionNational: {[3]int8{3, -1, 4}, 13, 3, 20, false}, // Montana
	15 - sectionNational: {[3]int8{3, -1, 4}, 16, 3, 23, false}, // Oregon
	16 - sectionNational: {[3]int8{3, -1, 4}, 13, 1, 18, false}, // Texas
	17 - sectionNational: {[3]int8{3, -1, 4}, 14, 5, 23, false}, // Delaware
	18 - sectionNational: {[3]int8{4, -1, 5}, 14, 1, 18, false}, // Iowa
	19 - sectionNational: {[3]int8{3, -1, 4}, 13, 1, 18, false}, // Nebraska
	20 - sectionNational: {[3]int8{3, -1, 4}, 13, 3, 20, false}, // New Hampshire
	21 - sectionNational: {[3]int8{3, -1, 4}, 15, 5, 24, false}, // New Jersey
	22 - sectionNational: {[3]int8{3, -1, 4}, 13, 1, 18, false}, // Tennessee
	23 - sectionNational: {[3]int8{3, -1, 4}, 13, 1, 18, false}, // Minnesota
	24 - sectionNational: {[3]int8{5, -1, 6}, 0, 0, 8, true},    // Maryland
	25 - sectionNational: {[3]int8{5, -1, 6}, 7, 1, 9, true},    // Indiana
	26 - sectionNational: {[3]int8{5, -1, 6}, 7, 1, 9, true},    // Kentucky
	27 - sectionNational: {[3]int8{5, -1, 6}, 7, 1, 9, true},    // Rhode Island
}

// nationalV2 is version 2 of the national section: more categories of sensitive data, and a third consent for children.
var nationalV2 = layout{[3]int8{6, 7, 8}, 25, 3, 32, false}

// Values of opt-outs and of consents.
const (
	fieldRefused = 1 // opted out; no consent
	fieldOutside = 3 // not defined
)

const segmentGPC = 1 // the type of the segment with Global Privacy Control

// state is what one section says.
type state struct {
	optedOut     bool // of sale, sharing or targeted advertising
	gpc          bool // Global Privacy Control is on
	child        bool // the user is known to be a child
	childRefused bool // and nobody consented
}

// readState reads a section of the United States. ok is false if it is damaged, shorter than its layout, or of a version
// whose layout is not known.
func readState(text string, section int) (s state, ok bool) {
	l := &states[section-sectionNational]
	core, rest, more := strings.Cut(text, ".")
	if l.header {
		if b := newBits(core); b.take(6) != section || b.take(6) != 1 || !more {
			return state{}, false
		}
		core, rest, more = strings.Cut(rest, ".")
	}
	b := newBits(core)
	switch version := b.take(6); {
	case section == sectionNational && (version == 2 || version == 1 && 6*len(b.text) >= 6+2*int(nationalV2.fields)):
		l = &nationalV2 // some encoders write its fields as version 1
	case version != 1: // a layout that is not known
		return state{}, false
	}
	fields := b
	fields.skip(2 * int(l.fields))
	if !b.whole() || fields.bad {
		return state{}, false
	}
	field := func(i int8) int {
		at := b
		at.skip(2 * int(i))
		return at.take(2)
	}
	for _, i := range l.optOuts {
		if i >= 0 {
			v := field(i)
			s.optedOut = s.optedOut || v == fieldRefused || v == fieldOutside
		}
	}
	for i := l.child; i < l.child+l.children; i++ {
		v := field(i)
		s.child = s.child || v != 0
		s.childRefused = s.childRefused || v == fieldRefused || v == fieldOutside
	}
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		g := newBits(segment)
		if !g.whole() {
			return state{}, false
		}
		if l.children > 0 && l.header { // the segment of sensitive data, which has no type
			continue
		}
		if g.take(2) == segmentGPC {
			s.gpc = s.gpc || g.flag()
		}
		if g.bad {
			return state{}, false
		}
	}
	return s, true
}
