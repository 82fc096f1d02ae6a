package process

import "time"

// Bounds of settings that concern HTTP.
const (
	MaxDrain = time.Minute // of limits.drain_delay
	MaxHead  = 16 << 10    // bytes of a request's head at every port
)

// Drainer is a server that can make each answer the last of its connection.
type Drainer interface{ Drain() }

// Drain drains servers for a while, the setting limits.drain_delay: load balancers see that the process is not ready, and
// send their requests elsewhere, while it still accepts those that are on their way.
func Drain(delay time.Duration, servers ...Drainer) {
	if delay <= 0 {
		return
	}
	for _, s := range servers {
		s.Drain()
	}
	time.Sleep(delay)
}
