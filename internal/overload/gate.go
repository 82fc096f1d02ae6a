package overload

// gate shuts in a flood: where so many goroutines wait for a processor that what comes behind them would be late. It is told
// by the queue as it is, before its waits can tell: those are known when they are over. A machine that loses half of its
// processors for a tenth of a second has such a queue, and half a second later none; so unlike a limit the gate is open
// again as soon as the flood has run off, and little is refused.
type gate struct {
	shut   bool
	floods int // looks in a row that found one
}

const (
	flood    = 64  // goroutines that wait for each processor: some 10 ms of work, where an auction takes 0.15
	floods   = 2   // looks in a row that find one; one alone may be a batch that has ended
	ebb      = 0.5 // of a flood is what is left when it has run off
	letsPass = 0.5 // of what is under way may be while it is shut
)

// look takes how many goroutines wait now. It is told once a period.
func (g *gate) look(queued, processors int) {
	switch high := flood * processors; {
	case queued == unknown || float64(queued) < ebb*float64(high):
		*g = gate{}
	case queued >= high:
		g.floods++
		g.shut = g.shut || g.floods >= floods
	default:
		g.floods = 0
	}
}
