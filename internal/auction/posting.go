package auction

import "math/bits"

// posting is a set of campaign ordinals: 64-bit words, of which only those with a bit set are stored, under a summary
// with one bit a word. A word is found by rank, in constant time; a set of few members out of 10,000 takes a few dozen
// bytes, and a summary word that is zero skips 4,096 campaigns at once.
type posting struct {
	summary []uint64 // bit w%64 of summary[w/64]: word w is stored
	rank    []int32  // rank[i]: how many words are stored before summary word i
	words   []uint64
	count   int
}

// newPosting builds a posting for n campaigns from ascending ordinals; a repeated one counts once.
func newPosting(n int, ordinals []int32) *posting {
	summaries := (n + 4095) / 4096
	p := &posting{summary: make([]uint64, summaries), rank: make([]int32, summaries)}
	last := int32(-1)
	for _, o := range ordinals {
		if o == last {
			continue
		}
		if w := o / 64; last < 0 || last/64 != w {
			p.summary[w/64] |= 1 << (w % 64)
			p.words = append(p.words, 0)
		}
		p.words[len(p.words)-1] |= 1 << (o % 64)
		p.count++
		last = o
	}
	for i := 1; i < summaries; i++ {
		p.rank[i] = p.rank[i-1] + int32(bits.OnesCount64(p.summary[i-1]))
	}
	return p
}

// word returns members 64w … 64w+63 as bits.
func (p *posting) word(w int) uint64 {
	s, bit := p.summary[w>>6], uint64(1)<<(w&63)
	if s&bit == 0 {
		return 0
	}
	return p.words[int(p.rank[w>>6])+bits.OnesCount64(s&(bit-1))]
}

// dimension indexes campaigns by one of their lists: open holds those whose list is empty (they allow every value),
// values those that name a value. A campaign may stand under several values.
type dimension[K comparable] struct {
	open   *posting
	values map[K]*posting
}

// dimensionBuilder collects a dimension; campaigns are added in ascending order.
type dimensionBuilder[K comparable] struct {
	open   []int32
	values map[K][]int32
}

// add enters a campaign under its keys, or as open if it has none.
func (b *dimensionBuilder[K]) add(ordinal int32, keys ...K) {
	if len(keys) == 0 {
		b.open = append(b.open, ordinal)
		return
	}
	if b.values == nil {
		b.values = make(map[K][]int32)
	}
	for _, k := range keys {
		b.values[k] = append(b.values[k], ordinal)
	}
}

func (b *dimensionBuilder[K]) build(n int) dimension[K] {
	d := dimension[K]{open: newPosting(n, b.open), values: make(map[K]*posting, len(b.values))}
	for k, ordinals := range b.values {
		d.values[k] = newPosting(n, ordinals)
	}
	return d
}

// clause is a part of a query: at least one (or, if negative, none) of its postings must hold the campaign.
type clause struct {
	from, to int // query.postings[from:to]
	count    int // upper bound of members, to try the most selective first
	negative bool
}

// query is a conjunction of clauses. It is evaluated lazily, word by word, by a cursor; its slices are reused.
type query struct {
	clauses  []clause
	postings []*posting
}

func (q *query) reset() {
	q.clauses, q.postings = q.clauses[:0], q.postings[:0]
}

// copyFrom makes q an equal query that can be extended on its own.
func (q *query) copyFrom(other *query) {
	q.clauses = append(q.clauses[:0], other.clauses...)
	q.postings = append(q.postings[:0], other.postings...)
}

// begin opens a clause; or adds an alternative to it; end closes it.
func (q *query) begin(negative bool) {
	q.clauses = append(q.clauses, clause{from: len(q.postings), negative: negative})
}

func (q *query) or(p *posting) {
	if p != nil && p.count > 0 {
		q.postings = append(q.postings, p)
		q.clauses[len(q.clauses)-1].count += p.count
	}
}

func (q *query) end() {
	last := len(q.clauses) - 1
	c := &q.clauses[last]
	c.to = len(q.postings)
	if c.negative && c.from == c.to {
		q.clauses = q.clauses[:last] // nothing to exclude
	}
}

// require closes the common positive clause: campaigns open in d, and those under any of the keys.
func require[K comparable](q *query, d *dimension[K], keys ...K) {
	if len(d.values) == 0 {
		return // every campaign is open
	}
	q.begin(false)
	q.or(d.open)
	for _, k := range keys {
		q.or(d.values[k])
	}
	q.end()
}

// summary is the conjunction of the positive clauses' summaries at summary word i: a superset of the words that match.
func (q *query) summary(i int) uint64 {
	all := ^uint64(0)
	for c := range q.clauses {
		cl := &q.clauses[c]
		if cl.negative {
			continue
		}
		var any uint64
		for _, p := range q.postings[cl.from:cl.to] {
			any |= p.summary[i]
		}
		if all &= any; all == 0 {
			return 0
		}
	}
	return all
}

// word is the conjunction of all clauses at word w.
func (q *query) word(w int) uint64 {
	all := ^uint64(0)
	for c := range q.clauses {
		cl := &q.clauses[c]
		var any uint64
		for _, p := range q.postings[cl.from:cl.to] {
			any |= p.word(w)
		}
		if cl.negative {
			any = ^any
		}
		if all &= any; all == 0 {
			return 0
		}
	}
	return all
}

// sortClauses puts positive clauses with few members first and negative ones last, so that most words are zero soon.
func (q *query) sortClauses() {
	cs := q.clauses
	for i := 1; i < len(cs); i++ { // insertion sort: a dozen elements, no allocation
		for j := i; j > 0 && before(&cs[j], &cs[j-1]); j-- {
			cs[j], cs[j-1] = cs[j-1], cs[j]
		}
	}
}

func before(a, b *clause) bool {
	if a.negative != b.negative {
		return b.negative
	}
	return a.count < b.count
}

// cursor walks the ordinals in [from, to) that match a query, ascending.
type cursor struct {
	q       *query
	to      int
	i       int    // summary word
	summary uint64 // words of it still to visit
	w       int    // word
	bits    uint64 // members of it still to visit
}

// start sets the cursor before the first match at or after from. n is the number of campaigns; every stored word lies
// below it.
func (c *cursor) start(q *query, from, to int) {
	*c = cursor{q: q, to: to, i: from / 4096, w: from / 64}
	if from >= to {
		c.i = (to + 4095) / 4096
		return
	}
	c.summary = q.summary(c.i) &^ (1<<(c.w%64) - 1)
	if c.summary&(1<<(c.w%64)) != 0 {
		c.summary &^= 1 << (c.w % 64)
		c.bits = q.word(c.w) &^ (1<<(from%64) - 1)
	}
}

// next returns the next match, or -1.
func (c *cursor) next() int {
	for {
		if c.bits != 0 {
			o := c.w*64 + bits.TrailingZeros64(c.bits)
			c.bits &= c.bits - 1
			if o >= c.to {
				return -1
			}
			return o
		}
		for c.summary == 0 {
			c.i++
			if c.i*4096 >= c.to {
				return -1
			}
			c.summary = c.q.summary(c.i)
		}
		c.w = c.i*64 + bits.TrailingZeros64(c.summary)
		c.summary &= c.summary - 1
		if c.w*64 >= c.to {
			return -1
		}
		c.bits = c.q.word(c.w)
	}
}
