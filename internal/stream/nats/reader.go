package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gavel/internal/stream"
)

// reader reads through pull consumers without acknowledgements; its owner stores the cursor. Pulls are bounded in messages
// and bytes. If a message is missing or out of order, the connection is lost or the consumer fails, the reader makes a new
// consumer at the next sequence. So only messages that the stream has removed count as lost.
type reader struct {
	s     *Stream
	next  uint64 // next sequence; 0: the first stored since a time
	since time.Time
	last  stream.Cursor
	pulls *pulls
	again uint64 // missing sequence for which a new consumer was already tried

	once sync.Once
	done chan struct{} // closed by Close
}

// pulls is one consumer and its messages.
type pulls struct {
	jetstream.MessagesContext
	ended chan struct{} // closed by end
}

func (p *pulls) end() {
	close(p.ended)
	p.Stop()
}

const (
	pullMessages = 64
	pullBytes    = 4 << 20
)

// Open implements stream.Stream.
func (s *Stream) Open(ctx context.Context, from stream.Cursor) (stream.Reader, error) {
	r := &reader{s: s, next: max(from.Seq(), 1), done: make(chan struct{})}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if last := r.last.Seq(); r.next > last+1 {
		return nil, fmt.Errorf("%w: %d was asked for, the stream ends at %d (was its store removed? then remove the checkpoints too)", stream.ErrAhead, r.next, last)
	}
	return r, nil
}

// OpenSince implements stream.Stream.
func (s *Stream) OpenSince(ctx context.Context, since time.Time) (stream.Reader, error) {
	r := &reader{s: s, since: since, done: make(chan struct{})}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *reader) open(ctx context.Context) error {
	if err := r.s.WaitUp(ctx); err != nil {
		return err
	}
	state, err := r.s.State(ctx)
	r.last = state.Last
	return err
}

// Last implements stream.Reader.
func (r *reader) Last() stream.Cursor { return r.last }

// Close implements stream.Reader.
func (r *reader) Close() error {
	r.once.Do(func() { close(r.done) })
	return nil
}

// Next implements stream.Reader.
func (r *reader) Next(ctx context.Context) (stream.Entry, error) {
	for {
		select {
		case <-r.done:
			return stream.Entry{}, stream.ErrClosed
		default:
		}
		if r.pulls == nil {
			if err := r.pull(ctx); err != nil {
				if ctx.Err() != nil {
					return stream.Entry{}, ctx.Err()
				}
				r.s.log.Debug("reading the stream", "error", err, "next", r.next)
				if err := r.pause(ctx); err != nil {
					return stream.Entry{}, err
				}
				continue
			}
		}
		msg, err := r.pulls.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return stream.Entry{}, ctx.Err()
			}
			r.drop()
			continue
		}
		e, ready, err := r.accept(ctx, msg)
		if err != nil {
			return stream.Entry{}, err
		}
		if ready {
			return e, nil
		}
	}
}

// drop ends the consumer; the next call of Next makes a new one.
func (r *reader) drop() {
	if r.pulls != nil {
		r.pulls.end()
		r.pulls = nil
	}
}

// pause waits for a short time, or until the connection changes.
func (r *reader) pause(ctx context.Context) error {
	_, change := r.s.Up()
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-change:
	case <-r.done:
		return stream.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// pull makes a consumer at the next sequence.
func (r *reader) pull(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	up, change := r.s.Up()
	if !up {
		return errors.New("not connected")
	}
	if err := r.s.ensure(ctx); err != nil {
		return err
	}
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: time.Minute,
		MemoryStorage:     true,
		Replicas:          1,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.next,
	}
	if r.next == 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &r.since
	}
	cons, err := r.s.js.CreateConsumer(ctx, StreamName, cfg)
	if err != nil {
		return err
	}
	messages, err := cons.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(5*time.Second),
		jetstream.WithMessagesErrOnMissingHeartbeat(true),
	)
	if err != nil {
		return err
	}
	p := &pulls{messages, make(chan struct{})}
	r.pulls = p
	go r.watch(p, change)
	return nil
}

// watch ends Next's wait when the connection changes or the reader is closed.
func (r *reader) watch(p *pulls, change <-chan struct{}) {
	select {
	case <-change:
	case <-r.done:
	case <-p.ended:
	}
	p.Stop()
}

// accept checks the order; ready is false if the message is not the next one.
func (r *reader) accept(ctx context.Context, msg jetstream.Msg) (e stream.Entry, ready bool, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return e, false, fmt.Errorf("nats: cannot read message: %w", err)
	}
	seq := meta.Sequence.Stream
	if r.next > 0 && seq < r.next {
		return e, false, nil
	}
	if r.next > 0 && seq > r.next {
		state, err := r.s.State(ctx)
		if err == nil && state.First.Seq() < seq && r.again != r.next {
			// The stream still has it, or had it just now: ask for it again.
			r.again = r.next
			r.drop()
			return e, false, nil
		}
		if err != nil {
			r.drop()
			return e, false, nil
		}
		e.Lost = seq - r.next
		r.s.log.Warn("messages are gone from the stream", "from", r.next, "lost", e.Lost)
	}
	r.next = seq + 1
	headers := msg.Headers()
	e.Message = stream.Message{ID: headers.Get(jetstream.MsgIDHeader), Source: headers.Get(sourceHeader), Data: msg.Data()}
	e.At, e.Time = stream.CursorAt(seq), meta.Timestamp
	return e, true, nil
}
