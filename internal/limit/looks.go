package limit

// looks is what looking at the scheduler's queue has found. It is short where no more goroutines wait than
// processors run.
type looks struct {
	wanted bool    // each wakes a thread of a process that may have nothing to do: only while it may matter
	long   int     // in a row that did not find it short
	short  float64 // share of those that did, lately
}

const (
	looksAPeriod = 10       // fewer where the process gets no processor
	longLooks    = 50       // in a row find a queue that stands
	lookMemory   = 1.0 / 64 // weight of a look
	spareLooks   = 0.1      // share that finds the queue short where processors have time to spare
)

// look takes what one found.
func (l *looks) look(short bool) {
	found := 0.0
	l.long++
	if short {
		found, l.long = 1, 0
	}
	l.short += lookMemory * (found - l.short)
}

// stand says whether they found a queue that stands.
func (l *looks) stand() bool { return l.long >= longLooks }

// spare is 0 where the queue was never short lately, and 1 where processors have time to spare.
func (l *looks) spare() float64 { return min(l.short/spareLooks, 1) }
