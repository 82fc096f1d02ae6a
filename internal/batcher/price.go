package batcher

import (
	"cmp"
	"math"

	"gavel/internal/engine"
)

// price learns what joining saves: the CPU of a claim run alone, less what it adds to a batch,
//
//	(k·c₁ − c(k)) / (k − 1)
//
// with k the mean claims of what is run now and c(k) its mean cost. c₁ is the cost of a single claim where single claims
// are what is run: at most loads they are, and else for a moment now and then (see looks; calibration until then), when the
// batches before and between have taken the caches, so that not the mean of them counts but the lower third. A line
// through what is run now would not do: batches of one size say little of its slope; and of big batches fewer are run,
// each finds the caches colder, and the line's height at no claims tells twice of what running them alone would cost.
// Nor would the few single claims between large batches: each comes after a lull or a stall, at up to twice the cost.
//
// Costs are CPU time where the engine is a Meter, else durations. Means are exponentially weighted. The queue's lock
// guards it.
type price struct {
	calibrated        curve
	all, rows, claims average // cost, rows and claims of all runs in traffic
	alone             average // cost of a claim run alone: the mean where most are, else the lower third of those looked for
}

// average is an exponentially weighted mean, of what was seen so far until that is enough.
type average struct {
	seen  uint64
	value float64
}

func (a *average) add(x, weight float64) {
	a.seen++
	a.value += max(weight, 1/float64(a.seen)) * (x - a.value)
}

const (
	priceWeight  = 1.0 / 64
	outlier      = 3        // times the expected cost is what a run counts for at most
	enough       = 16       // single claims are believed before calibration; so many runs tell how many claims are usual
	nearAlone    = 1.5      // times what they lately cost is what one of them counts for at most, for some are interrupted
	lookQuantile = 1.0 / 3  // of what single claims cost in looks is what they cost where all are alone
	lookStep     = 1.0 / 32 // of it, times the share of runs on the other side, is a step at most; more while few were seen
	fewClaims    = 3        // a batch: below it single claims are usual; the difference from one is noise, calibration's at typical counts
	typical      = 8
)

// metered is the cost of the batch's last run, which took ns: 0 where it was not measured.
func metered(b engine.Batch, ns int64) int64 {
	if m, ok := b.(engine.Meter); ok {
		return int64(m.RunCPU())
	}
	return ns
}

// measure has the batch's next run metered.
func measure(b engine.Batch) {
	if m, ok := b.(engine.Meter); ok {
		m.Measure()
	}
}

// calibrate takes a run at leisure.
func (p *price) calibrate(rows int, cost int64) {
	if cost > 0 {
		p.calibrated.observe(rows, cost)
	}
}

// observe takes a run in traffic, of so many claims; looking says that claims are run alone where they can be.
func (p *price) observe(rows int, claims float64, cost int64, looking bool) {
	if cost <= 0 {
		return
	}
	c := float64(cost)
	if looking { // no sample of what is run else: of claims run alone each is measured, of others one in eight
		switch {
		case claims != 1:
		case p.claims.value >= fewClaims:
			p.look(c)
		default:
			p.addAlone(c)
		}
		return
	}
	if expected := p.atMost(rows); expected > 0 {
		c = min(c, outlier*expected)
	}
	p.all.add(c, priceWeight)
	p.rows.add(float64(rows), priceWeight)
	p.claims.add(claims, priceWeight)
	if claims == 1 {
		p.addAlone(c)
	}
}

// addAlone takes a run of a single claim, where most runs are such.
func (p *price) addAlone(c float64) {
	if p.claims.value >= fewClaims || p.all.seen < enough {
		return
	}
	if p.alone.seen > 0 {
		c = min(c, nearAlone*p.alone.value)
	}
	p.alone.add(c, priceWeight)
}

// look takes a run of a single claim among batches, by stochastic approximation of a quantile, with steps that shrink near it.
func (p *price) look(c float64) {
	if p.alone.seen == 0 {
		p.alone.value = cmp.Or(p.calibratedAt(1), c)
	}
	p.alone.seen++
	most := max(lookStep, 2/float64(enough+p.alone.seen)) * p.alone.value
	if d := c - p.alone.value; d > 0 {
		p.alone.value += lookQuantile * min(d, most)
	} else {
		p.alone.value -= (1 - lookQuantile) * min(-d, most)
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

// ofOne is the cost of a single claim run alone, 0 where it is not known.
func (p *price) ofOne() float64 {
	if p.sure() {
		return p.alone.value
	}
	return p.calibratedAt(1)
}

// calibratedAt is what calibration says of so many claims, of as many rows as claims lately had.
func (p *price) calibratedAt(claims float64) float64 {
	rows := 1.0
	if p.claims.value > 0 {
		rows = p.rows.value / p.claims.value
	}
	c, _ := p.calibrated.predict(max(int(math.Round(rows*claims)), 1))
	return c
}

// sure says whether what a claim costs alone was seen in traffic.
func (p *price) sure() bool { return p.alone.seen >= enough }

// known says whether anything can be said.
func (p *price) known() bool { return p.ofOne() > 0 }

// ofBatch is what is saved when two batches are joined, in ns.
func (p *price) ofBatch() float64 {
	one, k, c := p.ofOne(), p.claims.value, p.all.value
	if k < fewClaims {
		was := p.calibratedAt(1)
		if was == 0 {
			return 0
		}
		k, c = typical, p.calibratedAt(typical)*one/was
	}
	return min(max((k*one-c)/(k-1), 0), one)
}
