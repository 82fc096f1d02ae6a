package limit

// gate shuts in a flood: where so many goroutines wait for a processor that what comes behind them may soon be late. It is told
// by the queue as it is, before its waits can tell: those are known when they are over. Where half as much is done
// as before for a tenth of a second there is such a queue, and half a second later none; so unlike a limit the gate is open
// again as soon as the flood has run off, or after ten periods, and shuts anew if it has not.
type gate struct {
	shut  bool
	looks int     // in a row that found a flood; while it is shut, those since
	peak  float64 // the most that was under way in the period in which it shut
}

const (
	flood      = 64  // goroutines that wait for each processor
	floodLooks = 2   // in a row find one; a single one may be a batch that has ended
	ebb        = 0.5 // of a flood is what is left when it has run off
	letsPass   = 0.5 // of the peak may be under way while it is shut
)

// look takes how many goroutines wait now. It is told once a period.
func (g *gate) look(queued, processors int) {
	high := flood * processors
	switch {
	case queued == unknown, float64(queued) < ebb*float64(high), g.shut && g.looks == standing:
		*g = gate{}
	case g.shut:
		g.looks++
	case queued < high:
		g.looks = 0
	default:
		if g.looks++; g.looks == floodLooks {
			g.shut, g.looks = true, 0
		}
	}
}
