package batcher

// price learns what joining saves: the CPU of a row run alone, less what it adds to a batch,
//
//	(n·c₁ − c(n)) / (n − 1)
//
// with n the mean rows of what is run now and c(n) its mean cost. c₁ is the cost of a single row where single rows are
// what is run: at most loads they are, and else for a moment now and then (see looks; calibration until then). A line
// through what is run now would not do: batches of one size say little of its slope; and of big batches fewer are run,
// each finds the caches colder, and the line's height at no rows tells twice of what running the rows alone would cost.
// Nor would the few single rows between large batches: each comes after a lull or a stall, at up to twice the cost.
//
// Costs are CPU time where the engine is a Meter, else durations. All means are exponentially weighted. The queue's lock
// guards it.
type price struct {
	calibrated curve
	all, rows  average // cost and rows of all runs in traffic
	alone      average // cost of those of one row, where they are no exception
}

// average is an exponentially weighted mean, of what was seen so far until that is enough.
type average struct {
	seen  uint64
	value float64
}

func (a *average) add(x float64) {
	a.seen++
	a.value += max(priceWeight, 1/float64(a.seen)) * (x - a.value)
}

const (
	priceWeight = 1.0 / 64
	outlier     = 3  // times the expected cost is what a run counts for at most
	enough      = 16 // single rows are believed before calibration
	fewRows     = 2  // a batch: below it the difference from one is noise, and calibration's at typical rows counts
	typical     = 8
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

// observe takes a run in traffic; looking says that rows are run alone where they can be.
func (p *price) observe(rows int, cost int64, looking bool) {
	if cost <= 0 {
		return
	}
	c := float64(cost)
	if expected := p.atMost(rows); expected > 0 {
		c = min(c, outlier*expected)
	}
	p.all.add(c)
	p.rows.add(float64(rows))
	if rows == 1 && (looking || p.rows.value < fewRows) {
		p.alone.add(c)
	}
}

// atMost is what a run is expected to cost if rows cost no less in larger batches; 0 where nothing is known.
func (p *price) atMost(rows int) float64 {
	if p.all.seen < enough {
		c, _ := p.calibrated.predict(rows)
		return c
	}
	return p.all.value * max(1, float64(rows)/p.rows.value)
}

// ofOne is the cost of a single row run alone, 0 where it is not known.
func (p *price) ofOne() float64 {
	if p.alone.seen >= enough {
		return p.alone.value
	}
	c, _ := p.calibrated.predict(1)
	return c
}

// known says whether anything can be said.
func (p *price) known() bool { return p.ofOne() > 0 }

// ofBatch is what is saved when two batches are joined, in ns.
func (p *price) ofBatch() float64 {
	one, n, c := p.ofOne(), p.rows.value, p.all.value
	if n < fewRows {
		was, _ := p.calibrated.predict(1)
		eight, _ := p.calibrated.predict(typical)
		if was == 0 {
			return 0
		}
		n, c = typical, eight*one/was
	}
	return min(max((n*one-c)/(n-1), 0), one)
}
