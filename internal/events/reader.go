package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrAhead means that a reader was to start behind the end of the stream: the stream is another than the one the
// position was taken from.
var ErrAhead = errors.New("events: position beyond the end of the stream")

// streamReader reads through pull consumers that acknowledge nothing: what was read is known by its sequence, which
// whoever reads stores. Pulls are bounded in messages and bytes. A message out of order or missing, a lost connection, and
// any fault of the consumer is mended by a new consumer at the sequence that comes next; only what is really gone counts
// as lost.
type streamReader struct {
	s     *Stream
	next  uint64 // sequence to come; 0: what was stored since
	since time.Time
	last  uint64
	pulls *pulls
	again uint64 // sequence for which a new consumer was tried because it was missing

	once sync.Once
	done chan struct{} // closed by Close
}

// pulls is one consumer, and the messages that come from it.
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

// Reader reads from the sequence from on (0 is 1). It waits until the stream can be reached, or ctx ends, and returns
// ErrAhead if from is beyond what the stream will hold next.
func (s *Stream) Reader(ctx context.Context, from uint64) (Reader, error) {
	r := &streamReader{s: s, next: max(from, 1), done: make(chan struct{})}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if r.next > r.last+1 {
		return nil, fmt.Errorf("%w: sequence %d was asked for, the stream ends at %d (was its store removed? then remove the checkpoints too)", ErrAhead, r.next, r.last)
	}
	return r, nil
}

// ReaderSince reads from the first message that the stream stored at or after a time.
func (s *Stream) ReaderSince(ctx context.Context, since time.Time) (Reader, error) {
	r := &streamReader{s: s, since: since, done: make(chan struct{})}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *streamReader) open(ctx context.Context) (err error) {
	if err := r.s.WaitUp(ctx); err != nil {
		return err
	}
	_, r.last, err = r.s.Bounds(ctx)
	return err
}

// Last implements Reader.
func (r *streamReader) Last() uint64 { return r.last }

// Close implements Reader. It may be called while Next waits.
func (r *streamReader) Close() error {
	r.once.Do(func() { close(r.done) })
	return nil
}

// Next implements Reader.
func (r *streamReader) Next(ctx context.Context) (Message, error) {
	for {
		select {
		case <-r.done:
			return Message{}, ErrClosed
		default:
		}
		if r.pulls == nil {
			if err := r.pull(ctx); err != nil {
				if ctx.Err() != nil {
					return Message{}, ctx.Err()
				}
				r.s.log.Debug("reading the stream", "error", err, "next", r.next)
				if err := r.pause(ctx); err != nil {
					return Message{}, err
				}
				continue
			}
		}
		msg, err := r.pulls.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return Message{}, ctx.Err()
			}
			r.drop()
			continue
		}
		m, ready, err := r.accept(ctx, msg)
		if err != nil {
			return Message{}, err
		}
		if ready {
			return m, nil
		}
	}
}

// drop lets go of the consumer; the next Next begins another.
func (r *streamReader) drop() {
	if r.pulls != nil {
		r.pulls.end()
		r.pulls = nil
	}
}

// pause waits a moment, or until the connection changes.
func (r *streamReader) pause(ctx context.Context) error {
	_, change := r.s.Up()
	t := time.NewTimer(200 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-change:
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// pull begins a consumer at the next sequence.
func (r *streamReader) pull(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
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
func (r *streamReader) watch(p *pulls, change <-chan struct{}) {
	select {
	case <-change:
	case <-r.done:
	case <-p.ended:
	}
	p.Stop()
}

// accept checks the order and decodes; ready is false for a message that is not the next.
func (r *streamReader) accept(ctx context.Context, msg jetstream.Msg) (m Message, ready bool, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return m, false, fmt.Errorf("events: cannot read message: %w", err)
	}
	seq := meta.Sequence.Stream
	if r.next > 0 && seq < r.next {
		return m, false, nil
	}
	if r.next > 0 && seq > r.next {
		first, _, err := r.s.Bounds(ctx)
		if err == nil && first < seq && r.again != r.next {
			// It is still there, or was a moment ago: ask again from where it was lost.
			r.again = r.next
			r.drop()
			return m, false, nil
		}
		if err != nil {
			r.drop()
			return m, false, nil
		}
		m.Lost = seq - r.next
		r.s.log.Warn("messages are gone from the stream", "from", r.next, "lost", m.Lost)
	}
	r.next = seq + 1
	m.Seq, m.Time, m.Source = seq, meta.Timestamp, msg.Headers().Get(sourceHeader)
	m.Events, m.Damaged = DecodeMessage(msg.Data())
	if m.Damaged != nil {
		r.s.log.Error("message damaged", "seq", seq, "source", m.Source, "error", m.Damaged)
	}
	return m, true, nil
}
