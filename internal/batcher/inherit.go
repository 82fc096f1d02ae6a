package batcher

// alikeTimes is how many times as dear as the other's an engine's runs may be for both to count as one: calibrations of one
// engine, in a thread that others interrupt, differ by nearly as much.
const alikeTimes = 2

// inherit begins with what the queue before has learnt in traffic of costs, and of how claims come, where calibration
// finds both engines alike. Only means are taken over, with the weight of the fewest runs that are believed, so that what
// does not hold for the new one is soon learnt anew; and looks begin anew, to tell what a claim alone costs. Calibration
// alone thinks that too dear, mostly, and batches are held for it until looks have corrected it, seconds later.
// Nobody else has q yet.
func (q *Queue) inherit(from *Queue) {
	from.mu.Lock()
	defer from.mu.Unlock()
	if from.rowLen != q.rowLen || from.o.MaxRows != q.o.MaxRows || !q.price.calibrated.alike(&from.price.calibrated, q.o.MaxRows) {
		return
	}
	q.price.learn(&from.price)
	q.curve.learn(&from.curve)
	q.arrivals, q.holds = from.arrivals, from.holds
}

// alike says whether both say much the same of one row, and of a full batch.
func (c *curve) alike(other *curve, maxRows int) bool {
	for _, rows := range []int{1, maxRows} {
		a, _ := c.predict(rows)
		b, _ := other.predict(rows)
		if min(a, b) == 0 || max(a, b) > alikeTimes*min(a, b) {
			return false
		}
	}
	return true
}

// learn takes over what the other knows of sizes that both have seen.
func (c *curve) learn(other *curve) {
	for i := range c.buckets {
		to, from := &c.buckets[i], &other.buckets[i]
		if to.count > 0 && from.count > 0 {
			to.rows, to.mean, to.deviation = from.rows, from.mean, from.deviation
		}
	}
}

// learn takes over what the other has seen in traffic, but not that a claim alone is far dearer than calibration finds it:
// thought dear enough, it would never be looked at again (see mayLook).
func (p *price) learn(other *price) {
	p.all, p.rows, p.claims = other.all.young(), other.rows.young(), other.claims.young()
	if other.alone.value <= alikeTimes*p.calibratedAt(1) {
		p.alone = other.alone.young()
	}
}

// young is the same mean of the fewest runs that are believed, so that it is soon another where it should be.
func (a average) young() average { return average{min(a.seen, enough), a.value} }
