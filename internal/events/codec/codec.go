// Package codec encodes and decodes events: schema 1, a subset of msgpack.
//
// On the wire a message is an array of events, and an event an array of positional fields (see reader for how they
// grow):
//
//	[v, id, type, key, t, campaign, creative, exchange, price, reason]        all types but these
//	[v, id, "bid", key, t, body]
//	[v, id, "billing", key, t, campaign, creative, exchange, price, reason, bid time]
//	[v, id, "ranking", key, t, campaign, creative, exchange, price, reason, body]
//
// A bid's body is an array of arrays: request, impression, banner, video, audio, native, inventory, device, geo, user,
// privacy, campaign, creative, deal, price. An absent format or deal is nil. The functions below are the definition, and
// tests/golden/events_v1.msgpack pins the bytes. Writer and reader of a field are in the same file, so that they can be
// compared: codec.go has the event, bid.go the body of a bid, impression.go its impression, ranking.go the body of a ranking.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/packed"
	"gavel/internal/stream"
)

// Append appends the encoding of e to b.
func Append(b []byte, e *events.Event) []byte {
	v := e.Version
	if v == 0 {
		v = events.Schema
	}
	n := 10
	switch {
	case e.Type == events.TypeBid:
		n = 6
	case e.Ranking != nil || hasBidTime(e):
		n = 11
	}
	b = packed.AppendList(b, n)
	b = packed.AppendInt(b, int64(v))
	b = packed.AppendText(b, e.ID)
	b = packed.AppendText(b, string(e.Type))
	b = packed.AppendText(b, e.Key)
	b = packed.AppendInt(b, e.Time)
	if e.Type == events.TypeBid {
		switch {
		case e.Bid != nil:
			return AppendBody(b, e.Bid)
		case e.Body != nil: // read from a stream; written again unchanged
			return append(b, e.Body...)
		default:
			return packed.AppendNil(b)
		}
	}
	b = packed.AppendText(b, e.Campaign)
	b = packed.AppendText(b, e.Creative)
	b = packed.AppendText(b, e.Exchange)
	b = packed.AppendInt(b, int64(e.Price))
	b = packed.AppendInt(b, int64(e.Reason))
	switch {
	case e.Ranking != nil:
		b = appendRanking(b, e.Ranking)
	case hasBidTime(e):
		b = packed.AppendInt(b, e.BidTime)
	}
	return b
}

// hasBidTime reports whether e has the field that only bills have.
func hasBidTime(e *events.Event) bool { return e.Type == events.TypeBilling && e.BidTime != 0 }

// Encode returns a payload that holds events.
func Encode(all []events.Event) []byte {
	b := packed.AppendList(nil, len(all))
	for i := range all {
		b = Append(b, &all[i])
	}
	return b
}

// HeadBytes is the room that PutHead needs.
const HeadBytes = 5

// PutHead completes a payload. The payload has HeadBytes of room, then n events that were appended one by one.
func PutHead(payload []byte, n int) {
	payload[0] = 0xdd // an array's head of 32 bits
	binary.BigEndian.PutUint32(payload[1:HeadBytes], uint32(n))
}

// Decode returns the events of a payload. The bodies of its bids point into payload, which must not be changed
// while they are in use. Events of a later schema have only their header. An error names the byte and the event; the
// events before the damage are returned with it.
func Decode(payload []byte) ([]events.Event, error) {
	r := reader{b: payload}
	n := r.arrayLen()
	if r.err != nil || n < 0 {
		return nil, fmt.Errorf("codec: cannot decode message: %w", errOr(r.err, "nil in place of an array"))
	}
	out := make([]events.Event, 0, min(n, 1024))
	for i := range n {
		e, ok := readEvent(&r)
		if !ok {
			return out, fmt.Errorf("codec: cannot decode event %d of %d: %w", i+1, n, errOr(r.err, "no array"))
		}
		out = append(out, e)
	}
	if r.off != len(payload) {
		return out, fmt.Errorf("codec: cannot decode message: %d bytes after its %d events", len(payload)-r.off, n)
	}
	return out, nil
}

func errOr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

func readEvent(r *reader) (events.Event, bool) {
	r.left = 1
	outer, ok := r.open()
	var e events.Event
	e.Version = int(r.int())
	e.ID = r.str()
	e.Type = typeOf(r.bytes())
	e.Key = r.str()
	e.Time = r.int()
	switch {
	case e.Version != events.Schema: // the fields that follow are unknown
	case e.Type == events.TypeBid:
		if r.field() {
			start := r.off
			r.skip(0)
			if r.err == nil {
				e.Body = r.b[start:r.off:r.off]
			}
		}
	default:
		e.Campaign = r.str()
		e.Creative = r.str()
		e.Exchange = r.str()
		e.Price = auction.Micros(r.int())
		e.Reason = int(r.int())
		switch e.Type {
		case events.TypeRanking:
			e.Ranking = readRanking(r)
		case events.TypeBilling:
			e.BidTime = r.int()
		}
	}
	r.close(outer)
	return e, ok && r.err == nil
}

// typeOf avoids a copy for known types.
func typeOf(b []byte) events.Type {
	switch string(b) {
	case "bid":
		return events.TypeBid
	case "win":
		return events.TypeWin
	case "loss":
		return events.TypeLoss
	case "billing":
		return events.TypeBilling
	case "impression":
		return events.TypeImpression
	case "click":
		return events.TypeClick
	case "conversion":
		return events.TypeConversion
	case "ranking":
		return events.TypeRanking
	case "sale":
		return events.TypeSale
	case "tick":
		return events.TypeTick
	}
	return events.Type(b)
}

// Read decodes an entry of the stream. The message owns the entry's Data from then on. Message.Damaged reports damage.
func Read(e stream.Entry) events.Message {
	m := events.Message{At: e.At, Time: e.Time, Source: e.Source, Lost: e.Lost}
	m.Events, m.Damaged = Decode(e.Data)
	return m
}

// Bid returns the body of a bid event. The result owns its memory; if e was never encoded, the result is e.Bid. If the
// event's schema is unknown, the error is events.ErrSchema. If the body is damaged, the error names the offset. An event that
// is not a bid is an error.
func Bid(e *events.Event) (*events.BidContext, error) {
	switch {
	case e.Bid != nil:
		return e.Bid, nil
	case e.Type != events.TypeBid:
		return nil, fmt.Errorf("codec: cannot decode a bid: event %q is a %s", e.ID, e.Type)
	}
	return DecodeBody(e.Version, e.ID, e.Body)
}

// DecodeBody is like Bid, for callers that kept only the body. version is the event's schema; id is for errors.
func DecodeBody(version int, id string, body []byte) (*events.BidContext, error) {
	if version != events.Schema {
		return nil, fmt.Errorf("%w %d of bid %q, this build reads %d: update it", events.ErrSchema, version, id, events.Schema)
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("codec: cannot decode bid %q: it has no body", id)
	}
	r := reader{b: body, left: 1}
	b := readBid(&r)
	if r.err != nil {
		return nil, fmt.Errorf("codec: cannot decode bid %q: %w", id, r.err)
	}
	return b, nil
}
