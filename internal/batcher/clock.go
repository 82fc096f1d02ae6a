package batcher

import (
	"sync/atomic"
	"time"
)

// clock calls the queues' ticks: one goroutine for the whole pool, which sleeps until the earliest alarm. Only that alarm is
// kept. When it comes, the clock ticks every queue, and each returns when it needs the next tick.
type clock struct {
	p       *Pool
	sleeper sleeper
	next    atomic.Int64 // the earliest alarm, ns on the pool's clock
	until   atomic.Int64 // what tickLoop sleeps until; 0 while it is awake
	ending  atomic.Bool
}

// sleeper sleeps for tickLoop.
type sleeper interface {
	// sleep returns after d, or earlier if there was a kick since the last sleep returned. If d < 0, only a kick ends it.
	sleep(d time.Duration)
	// kick ends a sleep, present or next. Any goroutine may call it; it does not block.
	kick()
	// close frees the sleeper. Later kicks do nothing.
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

// alarm requests a tick at the time given, or earlier. The caller must first have stored, under its queue's lock, what the
// tick is to find.
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

// tickLoop ticks the queues. stop ends it.
func (c *clock) tickLoop() {
	defer c.p.ended.Done()
	defer c.sleeper.close()
	var queues []*Queue
	for !c.ending.Load() {
		at := c.next.Load()
		now := c.p.now()
		if at > now {
			c.until.Store(at)
			if c.next.Load() >= at && !c.ending.Load() { // an alarm before until was stored kicked nobody
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

// timerSleeper sleeps on a Go timer, which may fire up to a millisecond late while the process is idle.
type timerSleeper struct {
	timer  *time.Timer
	kicked chan struct{} // capacity 1: kicks do not add up
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
