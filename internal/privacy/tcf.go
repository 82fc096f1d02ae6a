package privacy

import (
	mathbits "math/bits"
	"strings"
)

// maxText bounds a consent string, in bytes. Real ones take a few hundred to a few thousand.
const maxText = 16 << 10

// tcString is what a TC string says of one vendor. Bit i of a mask is purpose or special feature i + 1.
type tcString struct {
	consents  uint32 // purposes that the user consents to
	interests uint32 // purposes whose legitimate interest was shown and not objected to
	features  uint32 // special features that the user opted in to

	vendorConsent, vendorInterest bool
	undisclosed                   bool // the string lists the vendors that were shown, and this is none of them

	// What the publisher says of the vendor's purposes (publisher restrictions).
	forbidden, onlyConsent, onlyInterest uint32
}

// Segments of a TC string.
const segmentDisclosed = 1

// Types of publisher restrictions.
const (
	restrictForbidden = iota
	restrictConsent
	restrictInterest
)

// readTC reads a TC string, version 2 in each of its revisions (2.0, 2.1, 2.2). ok is false if it is no such string, or
// damaged anywhere up to its end.
func readTC(text string, vendor int) (t tcString, ok bool) {
	if len(text) > maxText {
		return tcString{}, false
	}
	core, rest, more := strings.Cut(text, ".")
	b := newBits(core)
	if !b.whole() || b.take(6) != 2 {
		return tcString{}, false
	}
	// Created and updated (36 each), CMP (12, 12, 6), language (12), vendor list (12), policy (6), two flags.
	b.skip(36 + 36 + 12 + 12 + 6 + 12 + 12 + 6 + 2)
	t.features = mask(&b, 12)
	t.consents = mask(&b, 24)
	t.interests = mask(&b, 24)
	b.skip(1 + 12) // PurposeOneTreatment, the publisher's country
	t.vendorConsent = b.vendors(vendor)
	t.vendorInterest = b.vendors(vendor)
	t.restrictions(&b, vendor)
	if b.bad {
		return tcString{}, false
	}
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		s := newBits(segment)
		if !s.whole() {
			return tcString{}, false
		}
		if s.take(3) == segmentDisclosed {
			t.undisclosed = !s.vendors(vendor)
		}
		if s.bad {
			return tcString{}, false
		}
	}
	return t, true
}

// mask reads n flags; the first becomes bit 0.
func mask(b *bits, n int) uint32 { return mathbits.Reverse32(uint32(b.take(n))) >> (32 - n) }

// vendors reads a list of vendors, as a field of bits or as ranges, and reports whether vendor is in it.
func (b *bits) vendors(vendor int) (in bool) {
	most := b.take(16)
	if !b.flag() {
		in = vendor >= 1 && vendor <= most && b.peek(vendor-1)
		b.skip(most)
		return in
	}
	return b.ranges(vendor, most)
}

// ranges reads entries of vendors, each one id or the first and the last of several. An entry that ends before it begins,
// or is above most, is damage.
func (b *bits) ranges(vendor, most int) (in bool) {
	for range b.take(12) {
		several := b.flag()
		from := b.take(16)
		to := from
		if several {
			to = b.take(16)
		}
		if from < 1 || to < from || to > most {
			b.bad = true
		}
		if b.bad {
			return false
		}
		in = in || from <= vendor && vendor <= to
	}
	return in
}

// restrictions reads what the publisher restricts.
func (t *tcString) restrictions(b *bits, vendor int) {
	for range b.take(12) {
		purpose, kind := b.take(6), b.take(2)
		in := b.ranges(vendor, 1<<16-1)
		if b.bad {
			return
		}
		if !in || purpose < 1 || purpose > 24 {
			continue
		}
		switch bit := uint32(1) << (purpose - 1); kind {
		case restrictForbidden:
			t.forbidden |= bit
		case restrictConsent:
			t.onlyConsent |= bit
		case restrictInterest:
			t.onlyInterest |= bit
		default:
			t.forbidden |= bit // not defined: the strictest reading
		}
	}
}

// basis is what processing rests on: purposes and special features as masks.
type basis struct {
	consent, interest uint32 // the purposes, by the legal basis that the vendor declares
	flexible          uint32 // those whose basis a publisher may change to the other one
	features          uint32
}

// grants reports whether the string grants everything that is needed.
func (t *tcString) grants(need *basis) bool {
	all := need.consent | need.interest
	if all&t.forbidden != 0 || t.undisclosed {
		return false
	}
	// The publisher asks for the other basis than the vendor declares.
	toInterest, toConsent := need.consent&t.onlyInterest, need.interest&t.onlyConsent
	if (toInterest|toConsent)&^need.flexible != 0 {
		return false
	}
	consent := need.consent&^toInterest | toConsent
	interest := need.interest&^toConsent | toInterest
	switch {
	case consent != 0 && !(t.vendorConsent && t.consents&consent == consent):
		return false
	case interest != 0 && !(t.vendorInterest && t.interests&interest == interest):
		return false
	}
	return t.features&need.features == need.features
}
