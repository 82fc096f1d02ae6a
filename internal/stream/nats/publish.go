package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gavel/internal/stream"
)

// patience bounds waits for the server if the caller's context does not end sooner.
const patience = 5 * time.Second

var errLost = fmt.Errorf("%w: the connection was lost", stream.ErrAway)

// Publish implements stream.Stream. It sends all messages before it waits for the first acknowledgement. After a failure,
// the next use sets the stream up again, because it may then be another server or another disk.
func (s *Stream) Publish(ctx context.Context, messages []stream.Message) (acked []bool, err error) {
	acked = make([]bool, len(messages))
	for _, m := range messages {
		if len(m.Data) > stream.MaxMessageBytes {
			return acked, fmt.Errorf("%w: %q has %d bytes, at most %d", stream.ErrTooLarge, m.ID, len(m.Data), stream.MaxMessageBytes)
		}
	}
	if ctx.Err() != nil {
		return acked, context.Cause(ctx)
	}
	defer func() {
		if err != nil {
			s.forget()
		}
	}()
	up, changed := s.Up()
	if !up {
		return acked, stream.ErrAway
	}
	if err := s.ensureWhileUp(ctx, changed); err != nil {
		return acked, err
	}
	futures := make([]jetstream.PubAckFuture, 0, len(messages))
	for _, m := range messages {
		f, e := s.js.PublishMsgAsync(&natsgo.Msg{
			Subject: SubjectName,
			Header:  natsgo.Header{jetstream.MsgIDHeader: {m.ID}, sourceHeader: {m.Source}},
			Data:    m.Data,
		}, jetstream.WithRetryAttempts(0))
		if e != nil {
			err = e
			break
		}
		futures = append(futures, f)
	}
	for i, f := range futures {
		select {
		case <-f.Ok():
			acked[i] = true
		case e := <-f.Err():
			err = cmp.Or(err, e)
		case <-changed:
			err = cmp.Or(err, errLost)
		case <-ctx.Done():
			err = cmp.Or(err, context.Cause(ctx))
		}
	}
	return acked, err
}

// ensureWhileUp is like ensure, but returns if the connection is lost.
func (s *Stream) ensureWhileUp(ctx context.Context, changed <-chan struct{}) error {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with asking
		defer cancel()
		select {
		case <-changed:
		case <-asking.Done():
		}
	}()
	err := s.ensure(asking)
	if err != nil && ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// Erase implements stream.Eraser.
func (s *Stream) Erase(ctx context.Context, at stream.Cursor) error {
	if err := s.ensure(ctx); err != nil {
		return err
	}
	held, err := s.js.Stream(ctx, StreamName)
	if err != nil {
		return fmt.Errorf("nats: cannot erase a message of stream %s: %w", StreamName, err)
	}
	if err := held.SecureDeleteMsg(ctx, at.Seq()); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("nats: cannot erase message %d of stream %s: %w", at.Seq(), StreamName, err)
	}
	return nil
}
