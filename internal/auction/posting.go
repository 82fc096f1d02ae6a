package auction

import (
	"math/bits"
	"slices"
)

// posting is a set of campaign ordinals. Members are bits of 64-bit words; only words with a bit set are stored. A
// summary has one bit a word, so a summary word of zero skips 4,096 campaigns at once. A word is found by its rank, in
// constant time. A set of few members out of 10,000 takes a few dozen bytes.
type posting struct {
	summary []uint64 // bit w%64 of summary[w/64]: word w is stored
	rank    []int32  // rank[i]: how many words are stored before summary word i
	words   []uint64
	count   int
	dense   bool // every word is stored, so words[w] is word w
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
	p.dense = len(p.words) == (n+63)/64
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

// dimension indexes campaigns by one of their lists. The posting open holds the campaigns whose list is empty: they
// allow every value. The postings in values hold the campaigns that name a value. In a merged dimension, the posting of
// a value also holds the open campaigns. That saves a union for each word and costs memory.
type dimension[K comparable] struct {
	open   *posting
	values map[K]*posting
	merged bool
}

// mergedValues is how many values a merged dimension may have: countries, hours and devices are merged, domains are
// not. At 10,000 campaigns a merged value takes some 1.3 kB.
const mergedValues = 512

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

// build compiles the dimension for n campaigns. An exclusion is never merged, because open campaigns exclude nothing.
func (b *dimensionBuilder[K]) build(n int, exclusion bool) dimension[K] {
	d := dimension[K]{
		open: newPosting(n, b.open), values: make(map[K]*posting, len(b.values)),
		merged: !exclusion && len(b.values) <= mergedValues,
	}
	for k, ordinals := range b.values {
		if d.merged {
			ordinals = slices.Concat(ordinals, b.open)
			slices.Sort(ordinals)
		}
		d.values[k] = newPosting(n, ordinals)
	}
	return d
}

// clause is a part of a query: at least one (or, if negative, none) of its postings must hold the campaign.
type clause struct {
	from, to int // query.postings[from:to]
	count    int // upper bound of the members: the most selective clause is tried first
	negative bool
}

// query is a conjunction of clauses. A cursor evaluates it lazily, 4,096 campaigns at a time. Its slices are reused.
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

// begin opens a clause, or adds an alternative to the open clause, end closes it.
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

// require adds a positive clause: the campaigns open in d, and those under any of the keys.
func require[K comparable](q *query, d *dimension[K], keys ...K) {
	if len(d.values) == 0 {
		return // every campaign is open
	}
	q.begin(false)
	for _, k := range keys {
		q.or(d.values[k])
	}
	endOpen(q, d)
}

// endOpen adds the open campaigns of d to a positive clause and closes it.
func endOpen[K comparable](q *query, d *dimension[K]) {
	if !d.merged || q.clauses[len(q.clauses)-1].from == len(q.postings) {
		q.or(d.open)
	}
	q.end()
}

// summary returns the conjunction of the positive clauses' summaries at summary word i: a superset of the words that match.
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

// block evaluates all clauses on the 64 words of summary word i. It stores the words that are not zero in words and
// marks them in live. It goes clause by clause, so that the inner loop is short, and skips words that have become zero.
func (q *query) block(i int, words *[64]uint64) (live uint64) {
	live = q.summary(i)
	for m := live; m != 0; m &= m - 1 {
		words[bits.TrailingZeros64(m)&63] = ^uint64(0)
	}
	for c := 0; c < len(q.clauses) && live != 0; c++ {
		cl := &q.clauses[c]
		postings := q.postings[cl.from:cl.to]
		var next uint64
		if len(postings) == 1 && postings[0].dense && !cl.negative {
			dense := postings[0].words[i*64:]
			for m := live; m != 0; m &= m - 1 {
				w := bits.TrailingZeros64(m) & 63
				words[w] &= dense[w]
				if words[w] != 0 {
					next |= 1 << w
				}
			}
		} else {
			for m := live; m != 0; m &= m - 1 {
				w := bits.TrailingZeros64(m) & 63
				var any uint64
				for _, p := range postings {
					any |= p.word(i*64 + w)
				}
				if cl.negative {
					any = ^any
				}
				words[w] &= any
				if words[w] != 0 {
					next |= 1 << w
				}
			}
		}
		live = next
	}
	return live
}

// sortClauses puts positive clauses with few members first and negative ones last, so that most words become zero early.
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

// cursor visits the ordinals in [from, to) that match a query, in ascending order.
type cursor struct {
	q     *query
	to    int
	i     int        // block
	words [64]uint64 // of the block
	live  uint64     // words of it still to visit
	w     int        // word of the block
	bits  uint64     // members of it still to visit
}

// start sets the cursor before the first match at or after from.
func (c *cursor) start(q *query, from, to int) {
	c.q, c.to, c.i, c.live, c.bits = q, to, from/4096, 0, 0
	if from >= to {
		c.i = (to + 4095) / 4096
		return
	}
	w := from / 64 % 64
	c.live = q.block(c.i, &c.words) &^ (1<<w - 1)
	c.words[w] &^= 1<<(from%64) - 1
}

// next returns the next match, or -1.
func (c *cursor) next() int {
	for c.bits == 0 {
		for c.live == 0 {
			c.i++
			if c.i*4096 >= c.to {
				return -1
			}
			c.live = c.q.block(c.i, &c.words)
		}
		c.w = bits.TrailingZeros64(c.live) & 63
		c.live &= c.live - 1
		c.bits = c.words[c.w]
	}
	o := c.i*4096 + c.w*64 + bits.TrailingZeros64(c.bits)
	c.bits &= c.bits - 1
	if o >= c.to {
		c.bits, c.live, c.i = 0, 0, (c.to+4095)/4096
		return -1
	}
	return o
}
