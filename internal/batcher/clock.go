package batcher

import (
	"sync/atomic"
	"time"
)

// clock wakes the queues when time brings them something: one goroutine for the whole pool, asleep until the earliest
// alarm. It keeps only that one; when it rings every queue is asked, and says when it wants the next.
type clock struct {
	p       *Pool
	sleeper sleeper
	next    atomic.Int64 // when to ring, ns on the pool's clock
	until   atomic.Int64 // what tickLoop sleeps until; 0 while it is awake
	ending  atomic.Bool
}

// sleeper sleeps for tickLoop.
type sleeper interface {
	// sleep returns after d, or when kicked since the last sleep returned; d < 0: when kicked.
	sleep(d time.Duration)
	// kick may be called by any goroutine, before or during sleep, and does not block.
	kick()
	// close frees; kicks that come late do nothing.
	close()
}

func newClock(p *Pool, runtimeTimer bool) *clock {
	c := &clock{p: p}
	if !runtimeTimer {
		c.sleeper = newPreciseSleeper()
	}
	if c.sleeper == nil {
		c.sleeper = newTimerSleeper()
	}
	c.next.Store(never)
	return c
}

// alarm asks for a tick at the time given, if none comes before. What the tick is to find must be visible under its
// queue's lock before.
func (c *clock) alarm(at int64) {
	for {
		was := c.next.Load()
		if at >= was {
			return
		}
		if c.next.CompareAndSwap(was, at) {
			break
		}
	}
	if at < c.until.Load() {
		c.sleeper.kick()
	}
}

// tickLoop ends with stop.
func (c *clock) tickLoop() {
	defer c.p.ended.Done()
	defer c.sleeper.close()
	var queues []*Queue
	for !c.ending.Load() {
		at := c.next.Load()
		now := c.p.now()
		if at > now {
			c.until.Store(at)
			if c.next.Load() >= at && !c.ending.Load() { // an alarm that came in between saw no sleeper to kick
				d := time.Duration(-1)
				if at != never {
					d = time.Duration(at - now)
				}
				c.sleeper.sleep(d)
			}
			c.until.Store(0)
			continue
		}
		c.next.Store(never)
		queues = c.p.snapshot(queues)
		for _, q := range queues {
			c.alarm(q.tick(now))
		}
		clear(queues)
	}
}

func (c *clock) stop() {
	if !c.ending.Swap(true) {
		c.sleeper.kick()
	}
}

// timerSleeper sleeps on a Go timer, which fires up to a millisecond late while the process is idle.
type timerSleeper struct {
	timer  *time.Timer
	kicked chan struct{} // room for one: kicks do not add up
}

func newTimerSleeper() *timerSleeper {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &timerSleeper{timer: t, kicked: make(chan struct{}, 1)}
}

func (s *timerSleeper) sleep(d time.Duration) {
	if d < 0 {
		<-s.kicked
		return
	}
	s.timer.Reset(d)
	select {
	case <-s.timer.C:
	case <-s.kicked:
		s.timer.Stop()
	}
}

func (s *timerSleeper) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

func (s *timerSleeper) close() {}
