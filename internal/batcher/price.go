package batcher

// price learns what a run costs, as the curve does, but for the sake of comparing sizes: what is joining rows worth?
//
// A queue under steady load runs batches of nearly one size, and what it once learnt of the others grows old: caches are
// warm at calibration and cold in traffic, other tenants take their share, and a fresh figure beside a stale one makes
// nonsense of a difference. So cost is a scale times a shape. The scale follows whatever sizes are run (weight 1/16); the
// shape, a curve of costs ÷ scale, changes slowly (1/256), and only where there is something to learn. What makes every
// run cost twice as much doubles every saving too.
//
// Costs are CPU time where the engine is a Meter, else durations. The queue's lock guards it.
type price struct {
	shape curve
	scale float64 // 0: nothing is known
}

const (
	scaleWeight = 1.0 / 16
	shapeWeight = 1.0 / 256
	scaleMost   = 4 // an observation counts for at most so many times what was expected
)

// meter observes the CPU time of a run of so many rows that took ns and left the batch as it is.
func (p *price) meter(rows int, ns int64, b Batch) {
	if m, ok := b.(Meter); ok {
		ns = int64(m.RunCPU()) // 0: not measured
	}
	if ns > 0 {
		p.observe(rows, float64(ns))
	}
}

func (p *price) observe(rows int, ns float64) {
	if p.scale == 0 {
		p.scale, p.shape.slow = 1, true
	}
	k := p.shape.at(rows)
	expected, _ := p.shape.predict(rows)
	if k.count == 0 && p.shape.brackets(rows) { // one figure, from traffic, says less than its neighbours
		*k = costs{rows: float64(rows), mean: expected, deviation: expected / 4, count: calibrated}
	}
	if k.count >= calibrated {
		p.scale += scaleWeight * (min(ns/expected, scaleMost*p.scale) - p.scale)
	}
	p.shape.observe(rows, int64(ns/p.scale))
}

// calibrated is how often a size is seen before it moves the scale: until then it makes the shape.
const calibrated = 3

// known says whether anything was observed.
func (p *price) known() bool { return p.scale > 0 }

// saving is what running rows and more together saves against running them apart, in ns, at least 0.
func (p *price) saving(rows, more int) float64 {
	a, _ := p.shape.predict(rows)
	b, _ := p.shape.predict(more)
	both, _ := p.shape.predict(rows + more)
	return p.scale * max(a+b-both, 0)
}
