package batcher

// price learns what a batch costs whatever its rows: what is saved when two are joined.
//
// The curve can't tell. A queue under steady load runs batches of nearly one size, and what was once learnt of the others
// grows old: caches are warm at calibration and cold in traffic, and a fresh figure beside a stale one makes nonsense of
// their difference. So the cost of a run is taken for a line about the size that is run, cost = mean + slope × (rows −
// mean rows), all exponentially weighted (1/512; with 1/64 the price swung by a factor of three, and the holding with
// it). The slope is that of least squares over the sizes that occur, drawn towards the slope calibration saw, times what
// runs now cost for what they cost then: the less sizes differ, the more. The line's height at no rows is the price. An
// observation counts for at most outlier times what the line expects.
//
// Costs are CPU time where the engine is a Meter, else durations. The queue's lock guards it.
type price struct {
	calibrated  curve
	seen        uint64
	rows, cost  float64 // means of what was run in traffic; ns
	spread, tie float64 // variance of rows; covariance of rows and cost
}

const (
	priceWeight = 1.0 / 512
	outlier     = 3
	// trust says how much sizes must vary before least squares count more than calibration: standard deviation ÷ mean.
	trust = 0.25
)

// metered is the cost of the batch's last run, which took ns: 0 where it was not measured.
func metered(b Batch, ns int64) int64 {
	if m, ok := b.(Meter); ok {
		return int64(m.RunCPU())
	}
	return ns
}

// calibrate takes a run at leisure.
func (p *price) calibrate(rows int, cost int64) {
	if cost > 0 {
		p.calibrated.observe(rows, cost)
	}
}

// observe takes a run in traffic.
func (p *price) observe(rows int, cost int64) {
	if cost <= 0 {
		return
	}
	p.seen++
	w := max(priceWeight, 1/float64(p.seen))
	c := float64(cost)
	if expected := p.expected(rows); expected > 0 {
		c = min(c, outlier*expected)
	}
	dRows, dCost := float64(rows)-p.rows, c-p.cost
	p.rows += w * dRows
	p.cost += w * dCost
	p.spread = (1 - w) * (p.spread + w*dRows*dRows)
	p.tie = (1 - w) * (p.tie + w*dRows*dCost)
}

// expected is what a run should cost, 0 where nothing is known.
func (p *price) expected(rows int) float64 {
	if p.seen <= 1 {
		c, _ := p.calibrated.predict(rows)
		return c
	}
	return p.cost + p.slope()*(float64(rows)-p.rows)
}

// slope is what a row more costs, from 0 to a row's whole share of the mean cost.
func (p *price) slope() float64 {
	spread, tie := p.spread, p.tie
	if was, _ := p.calibrated.predict(int(p.rows + 0.5)); was > 0 {
		double, _ := p.calibrated.predict(int(2*p.rows + 0.5))
		weight := max(trust*trust*p.rows*p.rows, 1)
		spread += weight
		tie += weight * (double - was) / p.rows * p.cost / was
	}
	if spread == 0 {
		return 0
	}
	return min(max(tie/spread, 0), p.cost/p.rows)
}

// known says whether anything was observed.
func (p *price) known() bool { return p.seen > 0 || p.calibrated.known() }

// ofBatch is what a batch costs beyond its rows, in ns.
func (p *price) ofBatch() float64 {
	if p.seen == 0 {
		one, _ := p.calibrated.predict(1)
		two, _ := p.calibrated.predict(2)
		return max(2*one-two, 0)
	}
	return p.cost - p.slope()*p.rows
}
