package privacy

// bits reads base64url text as the specifications write it: six bits a character, the first bit is the most
// significant. Reading past the end, or a character outside of the alphabet, sets bad; what is read then is 0.
type bits struct {
	text string
	at   int // bit
	bad  bool
}

// sextet maps a character to its six bits, or to invalid.
var sextet = func() (table [256]byte) {
	for i := range table {
		table[i] = invalid
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		table[c] = byte(i)
	}
	return table
}()

const invalid = 0xff

// newBits returns a reader of text. Padding is not part of it.
func newBits(text string) bits {
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	return bits{text: text}
}

// whole reports whether every character is one of the alphabet.
func (b *bits) whole() bool {
	for i := range len(b.text) {
		if sextet[b.text[i]] == invalid {
			return false
		}
	}
	return true
}

// take reads n bits, at most 32, as a number.
func (b *bits) take(n int) (value int) {
	for n > 0 {
		i := b.at / 6
		if b.bad || i >= len(b.text) || sextet[b.text[i]] == invalid {
			b.bad = true
			return 0
		}
		left := 6 - b.at%6
		k := min(n, left)
		value = value<<k | int(sextet[b.text[i]])>>(left-k)&(1<<k-1)
		b.at += k
		n -= k
	}
	return value
}

// flag reads one bit.
func (b *bits) flag() bool { return b.take(1) == 1 }

// peek returns the bit that lies offset bits ahead, and does not move.
func (b *bits) peek(offset int) bool {
	ahead := *b
	ahead.skip(offset)
	set := ahead.flag()
	b.bad = b.bad || ahead.bad
	return set
}

// skip moves over n bits, which must be there.
func (b *bits) skip(n int) {
	b.at += n
	if b.at > 6*len(b.text) {
		b.bad = true
	}
}

// fibonacci reads a number in Fibonacci code: bits that stand for 1, 2, 3, 5, 8, …, and a 1 that ends it.
func (b *bits) fibonacci() (value int) {
	last := false
	for this, next := 1, 2; this < 1<<20; this, next = next, this+next {
		set := b.flag()
		if b.bad {
			return 0
		}
		if set && last {
			return value
		}
		if set {
			value += this
		}
		last = set
	}
	b.bad = true // no section has such an id
	return 0
}
