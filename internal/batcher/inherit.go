package batcher

// alike is how many times as dear as the other's an engine's runs may be for both to count as one.
const alike = 2

// inherit begins with what the queue before has learnt in traffic of costs, and of how claims come, where calibration
// finds both engines alike. What does not hold for the new one is soon learnt anew, by tens of runs; what calibration tells
// takes seconds to correct, above all where only a few claims are run alone (see looks). Counts are not inherited.
// Nobody else has q yet.
func (q *Queue) inherit(from *Queue) {
	from.mu.Lock()
	defer from.mu.Unlock()
	if from.rowLen != q.rowLen || from.o.MaxRows != q.o.MaxRows || !q.price.calibrated.alike(&from.price.calibrated, q.o.MaxRows) {
		return
	}
	calibrated := q.price.calibrated
	q.price, q.price.calibrated = from.price, calibrated
	q.curve.learn(&from.curve)
	q.arrivals, q.holds, q.looks = from.arrivals, from.holds, from.looks
}

// alike says whether both say much the same of one row, and of a full batch.
func (c *curve) alike(other *curve, maxRows int) bool {
	for _, rows := range []int{1, maxRows} {
		a, _ := c.predict(rows)
		b, _ := other.predict(rows)
		if min(a, b) == 0 || max(a, b) > alike*min(a, b) {
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
