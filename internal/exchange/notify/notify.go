// Package notify delivers what an exchange and its users report to a bidder after the auction: win, billing, loss,
// impression, click, conversion. Each is an HTTP GET at its own time.
//
// No notice is dropped silently. A failed delivery is repeated after growing pauses. A notice counts as failed after
// the last attempt, or when the time for the drain at the end is over. The queue has no bound; its length is in Stats.
package notify

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"gavel/internal/exchange/dice"
)

// Kind says what a notice reports.
type Kind string

const (
	Win        Kind = "win"
	Billing    Kind = "billing"
	Loss       Kind = "loss"
	Impression Kind = "impression"
	Click      Kind = "click"
	Conversion Kind = "conversion"
	Visit      Kind = "visit" // of a user who clicked, to a ranker
	Sale       Kind = "sale"
)

// Notice is one call to be made.
type Notice struct {
	Kind Kind
	URL  string
	At   time.Time // not to be called earlier; zero: at once
	From Browser   // what the call says of its user
	// Done, if not nil, is called once, from a worker, when the notice has been delivered. It may call Send.
	Done func(Reply)

	copyOf   bool // a duplicate, which tests that the receiver is idempotent
	attempts int
}

// Browser is what a user's browser says of itself in each call; empty for calls of servers.
type Browser struct {
	Agent    string // User-Agent
	Language string // Accept-Language
}

// Reply is the answer to a delivered notice.
type Reply struct {
	Status   int
	Location string // of a redirect
}

// Caller makes one GET. It follows no redirect and ends within its own timeout.
type Caller interface {
	Get(url string, from Browser) (Reply, error)
}

// Options of a Notifier.
type Options struct {
	Workers   int           // calls at the same time
	Attempts  int           // for one notice, in total
	Backoff   time.Duration // pause before the second attempt; it doubles with each attempt
	Duplicate float64       // share of notices delivered twice, the second time up to a second later
	Reorder   float64       // share of notices delayed by up to a second
	Seed      uint64
	// Failed, if not nil, is called from the workers with the reason why a notice failed.
	Failed func(n *Notice, err error)
}

// Stats count notices. Deliberate duplicates count only under Duplicates.
type Stats struct {
	Sent, Delivered, Retries, Failed, Duplicates, Pending int64
}

// Notifier delivers notices. It is safe for concurrent use.
type Notifier struct {
	o      Options
	caller Caller
	wg     sync.WaitGroup // one for each pending notice
	loops  sync.WaitGroup
	stop   chan struct{}
	wake   chan struct{} // capacity 1: signals that the queue's head changed
	ready  chan *Notice  // unbuffered, so that waiting notices stay in the queue, in order

	mu    sync.Mutex // guards what follows
	queue queue
	hurry bool // first attempts do not wait for their time, because the run ends
	stats Stats
}

// New starts a notifier. Drain ends it.
func New(caller Caller, o Options) *Notifier {
	n := &Notifier{o: o, caller: caller, stop: make(chan struct{}), wake: make(chan struct{}, 1), ready: make(chan *Notice)}
	n.loops.Go(n.dispatchLoop)
	for range o.Workers {
		n.loops.Go(n.workLoop)
	}
	return n
}

// Send queues a notice for delivery at its time.
func (n *Notifier) Send(x Notice) {
	now := time.Now()
	if x.At.Before(now) {
		x.At = now
	}
	k := dice.New(n.o.Seed).With(xxhash.Sum64String(x.URL))
	if n.o.Reorder > 0 && k.With(1).Chance(n.o.Reorder) {
		x.At = x.At.Add(time.Duration(k.With(2).Uniform() * float64(time.Second)))
	}
	twin := x // before x is pushed: afterwards a worker owns it
	n.push(&x)
	if n.o.Duplicate > 0 && k.With(3).Chance(n.o.Duplicate) {
		twin.Done, twin.copyOf = nil, true
		twin.At = twin.At.Add(time.Duration(k.With(4).Uniform() * float64(time.Second)))
		n.push(&twin)
	}
}

func (n *Notifier) push(x *Notice) {
	n.wg.Add(1)
	n.mu.Lock()
	if x.copyOf {
		n.stats.Duplicates++
	} else {
		n.stats.Sent++
		n.stats.Pending++
	}
	n.mu.Unlock()
	n.enqueue(x)
}

func (n *Notifier) enqueue(x *Notice) {
	n.mu.Lock()
	if n.hurry && x.attempts == 0 {
		x.At = time.Now()
	}
	heap.Push(&n.queue, x)
	first := n.queue[0] == x
	n.mu.Unlock()
	if first {
		n.signal()
	}
}

func (n *Notifier) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// dispatchLoop hands notices that are due to the workers, until stop closes.
func (n *Notifier) dispatchLoop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		x, wait := n.pop()
		if x == nil {
			timer.Reset(wait)
			select {
			case <-n.stop:
				return
			case <-n.wake:
			case <-timer.C:
			}
			continue
		}
		select {
		case <-n.stop:
			n.enqueue(x) // Drain counts what is left in the queue
			return
		case n.ready <- x:
		}
	}
}

// pop takes the first notice if it is due. Else it returns how long to wait.
func (n *Notifier) pop() (*Notice, time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(n.queue[0].At); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&n.queue).(*Notice), 0
}

// workLoop delivers, until stop closes.
func (n *Notifier) workLoop() {
	for {
		select {
		case <-n.stop:
			return
		case x := <-n.ready:
			n.deliver(x)
		}
	}
}

var errRefused = errors.New("refused")

func (n *Notifier) deliver(x *Notice) {
	x.attempts++
	reply, err := n.caller.Get(x.URL, x.From)
	switch {
	case err != nil:
		err = fmt.Errorf("notify: cannot deliver %s: %w", x.Kind, err)
	case reply.Status >= 500 || reply.Status == 429:
		err = fmt.Errorf("notify: cannot deliver %s: status %d", x.Kind, reply.Status)
	case reply.Status >= 400:
		err = fmt.Errorf("notify: %s %w with status %d; it is not tried again", x.Kind, errRefused, reply.Status)
	}
	if err != nil && x.attempts < n.o.Attempts && !errors.Is(err, errRefused) {
		n.mu.Lock()
		n.stats.Retries++
		n.mu.Unlock()
		x.At = time.Now().Add(n.o.Backoff << (x.attempts - 1))
		n.enqueue(x)
		return
	}
	n.end(x, reply, err)
}

// end ends a notice: as delivered if err is nil, else as failed.
func (n *Notifier) end(x *Notice, reply Reply, err error) {
	if err == nil && x.Done != nil {
		x.Done(reply)
	}
	if err != nil && n.o.Failed != nil {
		n.o.Failed(x, err)
	}
	n.mu.Lock()
	if !x.copyOf {
		n.stats.Pending--
		if err == nil {
			n.stats.Delivered++
		}
	}
	if err != nil {
		n.stats.Failed++
	}
	n.mu.Unlock()
	n.wg.Done()
}

// Stats returns a snapshot.
func (n *Notifier) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// Drain delivers all pending notices and ends the notifier. Only Done functions may still call Send. During patience
// each notice keeps its time; then all are sent at once, except for the pauses between attempts. When ctx ends, the
// pending notices count as failed.
func (n *Notifier) Drain(ctx context.Context, patience time.Duration) {
	empty := make(chan struct{})
	go func() { n.wg.Wait(); close(empty) }()
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case <-empty:
	case <-ctx.Done():
	case <-wait.C:
		n.mu.Lock()
		n.hurry = true
		for _, x := range n.queue {
			if x.attempts == 0 {
				x.At = time.Now()
			}
		}
		heap.Init(&n.queue)
		n.mu.Unlock()
		n.signal()
		select {
		case <-empty:
		case <-ctx.Done():
		}
	}
	close(n.stop)
	n.loops.Wait()
	n.mu.Lock()
	rest := n.queue
	n.queue = nil
	n.mu.Unlock()
	for _, x := range rest {
		n.end(x, Reply{}, fmt.Errorf("notify: %s not delivered by the end of the run", x.Kind))
	}
	<-empty
}

// queue is a heap of notices by time.
type queue []*Notice

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].At.Before(q[j].At) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*Notice)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return x
}
