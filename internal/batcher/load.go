package batcher

import (
	"sync"
	"sync/atomic"
	"time"

	"gavel/internal/host"
)

// load reckons ρ, how scarce processors would be if every claim were run alone, as a share of them:
//
//	ρ = others + r · c / processors
//
// others is the share of the machine that other processes keep busy, whoever they are (too little where Go may use only
// some of the machine's processors). r is the requests a second, as far as claims tell: those of pools that are not nice, or
// those of nice pools where they are more, for a request that asks a slow model mostly asks another as well. (Where it
// does not, ρ is too low for minutes.) c is the CPU that a request takes in this process, from its first byte to the answer's
// last, with what joining saved of it added: (CPU used + CPU saved) ÷ requests. What nice threads compute makes way and is
// in none of these, be they others' or this process's, as those that run a nice pool's batches or load a version.
//
// c is the least that was lately seen, not that of now. Where processors have time to spare each request wakes threads and
// finds cold caches, and takes up to twice the CPU that it takes where they have none: reckoned with that, half of the
// load that can be held looks like three quarters of it. So a lower c is believed soon, a higher one only where processors
// are busy, with this process's work among others, and else within the quarter of an hour, for the work itself may have
// changed. Below some 50 requests a second nothing is learnt: most CPU is then what the process takes without any.
//
// One does for the process, whatever pools it has. Methods are safe for concurrent use.
type load struct {
	cpu     func() int64                        // CPU time used, but in nice threads, ns; nil: not known, and neither is ρ
	machine func() (idle, all float64, ok bool) // time of all processors so far, in any unit; nil: not known
	cpus    float64                             // processors that Go may use
	epoch   time.Time

	claims atomic.Uint64 // run so far, but by nice pools
	nice   atomic.Uint64 // run by those
	unsure atomic.Bool   // what joining saved of the claims since the last look at c is not known
	saved  atomic.Int64  // ns that joining them has saved
	rho    atomicFloat   // ρ, smoothed
	least  atomicFloat   // c, ns; 0: not yet known

	mu             sync.Mutex // guards what follows
	last, looked   reading    // at the last sample, and at the last look at c
	others         float64    // smoothed, as the next two are
	rate, niceRate float64    // claims per ns of all processors' time: of pools that are not nice, and of nice ones
}

const (
	loadSample = 100e6   // ns between samples, at least; the system counts in steps of some 10 ms a processor
	loadWeight = 1.0 / 4 // of a sample of that length

	costSample = 1e9 // ns between looks at c, long enough that it has its share of collecting garbage
	costClaims = 100 // requests at least, or it takes longer
	// ns: what takes longer is not looked at, for most of its cost may be what the process takes without requests.
	costLongest = 2e9
	costFalls   = 1.0 / 4   // weight of a lower one
	costRises   = 1.0 / 512 // … of a higher one, which counts
	costAtMost  = 2         // times c at most: a lull has costs of its own
	costBusy    = 0.75      // share of busy processors from which on a higher one is believed like a lower one …
	costOwn     = 1.0 / 4   // … if this share of that at least is the process's
)

// ofProcess is the load of this process.
var ofProcess = &load{cpu: processCPU, machine: machineCPU, cpus: float64(host.Processors()), epoch: time.Now()}

// ran books a batch that claims shared. sure says whether what that saved is known; where it is not, c is not learnt.
func (l *load) ran(claims int, saved float64, sure bool) {
	if !sure && claims > 1 {
		l.unsure.Store(true)
	}
	l.claims.Add(uint64(claims))
	l.saved.Add(int64(saved))
	l.refresh()
}

// ranNice books a batch of a nice pool. What joining saves there is nice threads' CPU.
func (l *load) ranNice(claims int) {
	l.nice.Add(uint64(claims))
	l.refresh()
}

// refresh samples where that is due. It may be called at any time; it reads a file, so hold no lock that others wait for.
func (l *load) refresh() {
	if l.cpu != nil {
		l.sample(int64(time.Since(l.epoch)) + 1)
	}
}

func (l *load) sample(now int64) {
	if !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	if l.last.at > 0 && now-l.last.at < loadSample {
		return
	}
	r := l.read(now)
	d := r.since(l.last)
	began := l.last.at == 0
	l.last = r
	if began {
		l.looked = r
		return
	}
	switch d := r.since(l.looked); {
	case d.at > costLongest:
		l.looked = r
		l.unsure.Store(false)
	case d.at >= costSample && d.requests() >= costClaims:
		l.learn(d)
		l.looked = r
	}
	alone := l.cost()
	if alone == 0 {
		alone = d.cost()
	}
	weight := min(loadWeight*float64(d.at)/loadSample, 1)
	l.others += weight * (d.busy() - l.own(d) - l.others)
	l.rate += weight * (float64(d.claims)/l.time(d) - l.rate)
	l.niceRate += weight * (float64(d.nice)/l.time(d) - l.niceRate)
	l.rho.store(min(max(l.others, 0)+alone*max(l.rate, l.niceRate), 1))
}

// learn takes what happened since it was called last.
func (l *load) learn(d reading) {
	if l.unsure.Swap(false) || d.cpu <= 0 {
		return
	}
	c, was, busy, own := d.cost(), l.cost(), d.busy(), l.own(d)
	if d.all <= 0 {
		busy = own
	}
	weight := costRises
	switch {
	case was == 0:
		weight = 1
	case c < was || busy > costBusy && own > costOwn*busy:
		weight = costFalls
	}
	if was > 0 {
		c = min(c, costAtMost*was)
	}
	l.least.store(was + weight*(c-was))
}

func (l *load) read(now int64) reading {
	r := reading{at: now, cpu: l.cpu(), claims: l.claims.Load(), nice: l.nice.Load(), saved: l.saved.Load()}
	r.idle, r.all = l.last.idle, l.last.all // where it can't be read now, it will be told with the next
	if l.machine != nil {
		if idle, all, ok := l.machine(); ok {
			r.idle, r.all = idle, all
		}
	}
	return r
}

// time is the processors' time in d, ns.
func (l *load) time(d reading) float64 { return float64(d.at) * l.cpus }

// own is the share of them that the process used.
func (l *load) own(d reading) float64 { return float64(d.cpu) / l.time(d) }

// share is ρ, 0 to 1; 0 where it is not known.
func (l *load) share() float64 { return l.rho.load() }

// cost is c, ns; 0 where it is not yet known.
func (l *load) cost() float64 { return l.least.load() }

// reading is what had happened by a time, or between two.
type reading struct {
	at        int64   // ns
	cpu       int64   // that the process used, ns
	claims    uint64  // run, but by nice pools
	nice      uint64  // run by those
	saved     int64   // by joining claims, ns
	idle, all float64 // time of the machine's processors; 0: not known
}

func (r reading) since(was reading) reading {
	return reading{r.at - was.at, r.cpu - was.cpu, r.claims - was.claims, r.nice - was.nice, r.saved - was.saved, r.idle - was.idle, r.all - was.all}
}

// busy is the share of the machine's processors that did anything but niced work.
func (r reading) busy() float64 {
	if r.all <= 0 {
		return 0
	}
	return 1 - min(max(r.idle/r.all, 0), 1)
}

// requests is how many there were, as far as claims tell (see load): one that asks two models that are not nice is two.
func (r reading) requests() uint64 { return max(r.claims, r.nice) }

// cost is the CPU that a request whose claim is run alone would have taken, ns.
func (r reading) cost() float64 { return float64(r.cpu+r.saved) / float64(max(r.requests(), 1)) }
