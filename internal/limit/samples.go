package limit

// samples are what was seen of the scheduler's queue lately. The queue is short if no more goroutines wait than processors
// run.
type samples struct {
	wanted bool    // a sample wakes a thread of a process that may be idle, so they are taken only while waits are long
	long   int     // samples in a row that did not find the queue short
	short  float64 // the share of samples that found it short, lately
}

const (
	samplesAPeriod = 10       // fewer if the process gets no processor
	longSamples    = 50       // a queue stands if so many in a row did not find it short
	sampleMemory   = 1.0 / 64 // weight of the newest sample in the share
	spareShare     = 0.1      // the share of short samples at which the processors have time to spare
)

// add takes a sample in: whether the queue was short.
func (s *samples) add(short bool) {
	found := 0.0
	s.long++
	if short {
		found, s.long = 1, 0
	}
	s.short += sampleMemory * (found - s.short)
}

// stand says whether a queue stands.
func (s *samples) stand() bool { return s.long >= longSamples }

// spare is 0 if the queue was never short lately, and 1 if the processors have time to spare.
func (s *samples) spare() float64 { return min(s.short/spareShare, 1) }
