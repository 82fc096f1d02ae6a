package events

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gavel/internal/auction"
)

// On the wire a message is an array of events, and an event an array of positional fields (see reader for how they
// grow):
//
//	[v, id, type, key, t, campaign, creative, exchange, price, reason]        all types but bid
//	[v, id, "bid", key, t, body]
//
// A body is an array of arrays: request, impression, banner, video, audio, native, inventory, device, geo, user,
// privacy, campaign, creative, deal, price; a format or deal that is absent is nil. The functions below are the
// definition, tests/golden/events_v1.msgpack pins the bytes. The file is long because writer and reader of every field
// stand together, to be compared.

// MaxEventBytes bounds one encoded event. A bid's size follows from the request it answers, which the edge bounds.
const MaxEventBytes = 256 << 10

// ErrTooLarge means that an event is larger than MaxEventBytes and was not taken.
var ErrTooLarge = errors.New("events: event too large")

// appendEvent encodes e at the end of b.
func appendEvent(b []byte, e *Event) []byte {
	v := e.Version
	if v == 0 {
		v = Schema
	}
	n := 10
	if e.Type == TypeBid {
		n = 6
	}
	b = appendArray(b, n)
	b = appendInt(b, int64(v))
	b = appendStr(b, e.ID)
	b = appendStr(b, string(e.Type))
	b = appendStr(b, e.Key)
	b = appendInt(b, e.Time)
	if e.Type == TypeBid {
		switch {
		case e.Bid != nil:
			return appendBid(b, e.Bid)
		case e.body != nil: // read from a stream, and written again as it was
			return append(b, e.body...)
		default:
			return appendNil(b)
		}
	}
	b = appendStr(b, e.Campaign)
	b = appendStr(b, e.Creative)
	b = appendStr(b, e.Exchange)
	b = appendInt(b, int64(e.Price))
	return appendInt(b, int64(e.Reason))
}

// EncodeMessage is the payload that holds events.
func EncodeMessage(events []Event) []byte {
	b := appendArray(nil, len(events))
	for i := range events {
		b = appendEvent(b, &events[i])
	}
	return b
}

// DecodeMessage returns the events of a payload. The bodies of its bids point into payload, which must not be changed
// while they are in use. Events of a later schema come with their header alone. On an error, which names the byte and
// the event, the events before the damage are returned with it.
func DecodeMessage(payload []byte) ([]Event, error) {
	r := reader{b: payload}
	n := r.arrayLen()
	if r.err != nil || n < 0 {
		return nil, fmt.Errorf("events: cannot decode message: %w", errOr(r.err, "nil in place of an array"))
	}
	out := make([]Event, 0, min(n, 1024))
	for i := range n {
		e, ok := readEvent(&r)
		if !ok {
			return out, fmt.Errorf("events: cannot decode event %d of %d: %w", i+1, n, errOr(r.err, "no array"))
		}
		out = append(out, e)
	}
	if r.off != len(payload) {
		return out, fmt.Errorf("events: cannot decode message: %d bytes after its %d events", len(payload)-r.off, n)
	}
	return out, nil
}

func errOr(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

func readEvent(r *reader) (Event, bool) {
	r.left = 1
	outer, ok := r.open()
	var e Event
	e.Version = int(r.int())
	e.ID = r.str()
	e.Type = typeOf(r.bytes())
	e.Key = r.str()
	e.Time = r.int()
	switch {
	case e.Version != Schema: // what follows is not ours to read
	case e.Type == TypeBid:
		if r.field() {
			start := r.off
			r.skip(0)
			if r.err == nil {
				e.body = r.b[start:r.off:r.off]
			}
		}
	default:
		e.Campaign = r.str()
		e.Creative = r.str()
		e.Exchange = r.str()
		e.Price = auction.Micros(r.int())
		e.Reason = int(r.int())
	}
	r.close(outer)
	return e, ok && r.err == nil
}

// typeOf spares the copy of the types we know.
func typeOf(b []byte) Type {
	switch string(b) {
	case "bid":
		return TypeBid
	case "win":
		return TypeWin
	case "loss":
		return TypeLoss
	case "billing":
		return TypeBilling
	case "impression":
		return TypeImpression
	case "click":
		return TypeClick
	case "conversion":
		return TypeConversion
	case "tick":
		return TypeTick
	}
	return Type(b)
}

func decodeBody(version int, id string, body []byte) (*BidContext, error) {
	if version != Schema {
		return nil, fmt.Errorf("%w %d of bid %q, this build reads %d: update it", ErrSchema, version, id, Schema)
	}
	if len(body) == 0 {
		return nil, fmt.Errorf("events: cannot decode bid %q: it has no body", id)
	}
	r := reader{b: body, left: 1}
	b := readBid(&r)
	if r.err != nil {
		return nil, fmt.Errorf("events: cannot decode bid %q: %w", id, r.err)
	}
	return b, nil
}

func appendBid(b []byte, c *BidContext) []byte {
	q := &c.Request
	b = appendArray(b, 15)

	b = appendArray(b, 6)
	b = appendStr(b, q.ID)
	b = appendStr(b, q.Exchange)
	b = appendInt(b, unixNano(q.Received))
	b = appendInt(b, unixNano(q.Deadline))
	b = appendBool(b, q.Test)
	b = appendInt(b, int64(q.Type))

	if len(q.Impressions) == 0 {
		for range 5 {
			b = appendNil(b)
		}
	} else {
		b = appendImpression(b, &q.Impressions[0])
	}

	v := &q.Inventory
	b = appendArray(b, 10)
	b = appendStr(b, string(v.Kind))
	b = appendStr(b, v.ID)
	b = appendStr(b, v.Name)
	b = appendStr(b, v.Domain)
	b = appendStr(b, v.Bundle)
	b = appendStr(b, v.Page)
	b = appendStr(b, v.Publisher)
	b = appendStrs(b, v.Categories)
	b = appendStr(b, v.Language)
	b = appendStrs(b, v.Keywords)

	d := &q.Device
	b = appendArray(b, 13)
	b = appendStr(b, d.UserAgent)
	b = appendStr(b, d.IP)
	b = appendInt(b, int64(d.Type))
	b = appendStr(b, d.OS)
	b = appendStr(b, d.OSVersion)
	b = appendStr(b, d.Make)
	b = appendStr(b, d.Model)
	b = appendStr(b, d.Language)
	b = appendStr(b, d.Carrier)
	b = appendInt(b, int64(d.Connection))
	b = appendInt(b, int64(d.W))
	b = appendInt(b, int64(d.H))
	b = appendBool(b, d.LimitAds)

	g := &d.Geo
	b = appendArray(b, 7)
	b = appendStr(b, g.Country)
	b = appendStr(b, g.Region)
	b = appendStr(b, g.City)
	b = appendStr(b, g.Zip)
	b = appendStr(b, g.Metro)
	b = appendInt(b, int64(g.UTCOffset))
	b = appendBool(b, g.HasOffset)

	u := &q.User
	b = appendArray(b, 6)
	b = appendStr(b, u.ID)
	b = appendStr(b, u.BuyerUID)
	b = appendInt(b, int64(u.YearOfBirth))
	b = appendStr(b, u.Gender)
	b = appendStrs(b, u.Keywords)
	b = appendArray(b, 2*len(u.Segments))
	for _, s := range u.Segments {
		b = appendStr(b, s.Data)
		b = appendStr(b, s.Value)
	}

	b = appendArray(b, 2)
	b = appendBool(b, q.Privacy.GDPR)
	b = appendBool(b, q.Privacy.COPPA)

	m := &c.Campaign
	b = appendArray(b, 8)
	b = appendStr(b, m.ID)
	b = appendStr(b, m.Advertiser)
	b = appendStr(b, m.Domain)
	b = appendStrs(b, m.Categories)
	b = appendStr(b, m.Seat)
	b = appendStr(b, string(m.Goal.Kind))
	b = appendInt(b, int64(m.Goal.Value))
	b = appendStr(b, m.App)

	k := &c.Creative
	b = appendArray(b, 8)
	b = appendStr(b, k.ID)
	b = appendStr(b, string(k.Kind))
	b = appendInt(b, int64(k.Size.W))
	b = appendInt(b, int64(k.Size.H))
	b = appendInt(b, int64(k.Duration))
	b = appendStr(b, k.MIME)
	b = appendInt(b, int64(k.Protocol))
	b = appendInts(b, k.Attributes)

	if c.Deal == nil {
		b = appendNil(b)
	} else {
		b = appendArray(b, 4)
		b = appendStr(b, c.Deal.ID)
		b = appendInt(b, int64(c.Deal.Floor))
		b = appendStr(b, c.Deal.FloorCurrency)
		b = appendInt(b, int64(c.Deal.Type))
	}

	b = appendArray(b, 7)
	b = appendInt(b, int64(c.Price))
	b = appendInt(b, int64(c.Value))
	b = appendInt(b, int64(c.Floor))
	b = appendFloat32(b, c.Prediction.Click)
	b = appendFloat32(b, c.Prediction.Conversion)
	b = appendInt(b, c.Prediction.ClickVersion)
	return appendInt(b, c.Prediction.ConversionVersion)
}

func appendImpression(b []byte, p *auction.Impression) []byte {
	b = appendArray(b, 9)
	b = appendStr(b, p.ID)
	b = appendStr(b, p.TagID)
	b = appendBool(b, p.Secure)
	b = appendInt(b, int64(p.Position))
	b = appendInt(b, int64(p.Floor))
	b = appendStr(b, p.FloorCurrency)
	b = appendBool(b, p.Interstitial)
	b = appendBool(b, p.Rewarded)
	b = appendBool(b, p.PrivateAuction)

	if f := p.Banner; f == nil {
		b = appendNil(b)
	} else {
		b = appendArray(b, 4)
		b = appendArray(b, 2*len(f.Sizes))
		for _, s := range f.Sizes {
			b = appendInt(b, int64(s.W))
			b = appendInt(b, int64(s.H))
		}
		b = appendInts(b, f.BlockedTypes)
		b = appendInts(b, f.BlockedAttributes)
		b = appendStrs(b, f.MIMEs)
	}
	if f := p.Video; f == nil {
		b = appendNil(b)
	} else {
		b = appendArray(b, 8)
		b = appendInt(b, int64(f.Size.W))
		b = appendInt(b, int64(f.Size.H))
		b = appendStrs(b, f.MIMEs)
		b = appendInt(b, int64(f.MinDuration))
		b = appendInt(b, int64(f.MaxDuration))
		b = appendInts(b, f.Protocols)
		b = appendInts(b, f.BlockedAttributes)
		b = appendInt(b, int64(f.Placement))
	}
	if f := p.Audio; f == nil {
		b = appendNil(b)
	} else {
		b = appendArray(b, 5)
		b = appendStrs(b, f.MIMEs)
		b = appendInt(b, int64(f.MinDuration))
		b = appendInt(b, int64(f.MaxDuration))
		b = appendInts(b, f.Protocols)
		b = appendInts(b, f.BlockedAttributes)
	}
	if f := p.Native; f == nil {
		b = appendNil(b)
	} else {
		b = appendArray(b, 2)
		b = appendStr(b, f.Version)
		b = appendInts(b, f.BlockedAttributes)
	}
	return b
}

// readBid mirrors appendBid.
func readBid(r *reader) *BidContext {
	c := &BidContext{}
	body, _ := r.open()
	q := &c.Request

	o, _ := r.open()
	q.ID = r.str()
	q.Exchange = r.str()
	q.Received = fromUnixNano(r.int())
	q.Deadline = fromUnixNano(r.int())
	q.Test = r.bool()
	q.Type = int(r.int())
	r.close(o)

	readImpression(r, c)

	v := &q.Inventory
	o, _ = r.open()
	v.Kind = auction.InventoryKind(r.str())
	v.ID = r.str()
	v.Name = r.str()
	v.Domain = r.str()
	v.Bundle = r.str()
	v.Page = r.str()
	v.Publisher = r.str()
	v.Categories = r.strs()
	v.Language = r.str()
	v.Keywords = r.strs()
	r.close(o)

	d := &q.Device
	o, _ = r.open()
	d.UserAgent = r.str()
	d.IP = r.str()
	d.Type = int(r.int())
	d.OS = r.str()
	d.OSVersion = r.str()
	d.Make = r.str()
	d.Model = r.str()
	d.Language = r.str()
	d.Carrier = r.str()
	d.Connection = int(r.int())
	d.W = int(r.int())
	d.H = int(r.int())
	d.LimitAds = r.bool()
	r.close(o)

	g := &d.Geo
	o, _ = r.open()
	g.Country = r.str()
	g.Region = r.str()
	g.City = r.str()
	g.Zip = r.str()
	g.Metro = r.str()
	g.UTCOffset = int(r.int())
	g.HasOffset = r.bool()
	r.close(o)

	u := &q.User
	o, _ = r.open()
	u.ID = r.str()
	u.BuyerUID = r.str()
	u.YearOfBirth = int(r.int())
	u.Gender = r.str()
	u.Keywords = r.strs()
	in, _ := r.open()
	for r.err == nil && r.left > 0 {
		u.Segments = append(u.Segments, auction.Segment{Data: r.str(), Value: r.str()})
	}
	r.close(in)
	r.close(o)

	o, _ = r.open()
	q.Privacy.GDPR = r.bool()
	q.Privacy.COPPA = r.bool()
	r.close(o)

	m := &c.Campaign
	o, _ = r.open()
	m.ID = r.str()
	m.Advertiser = r.str()
	m.Domain = r.str()
	m.Categories = r.strs()
	m.Seat = r.str()
	m.Goal.Kind = auction.GoalKind(r.str())
	m.Goal.Value = auction.Micros(r.int())
	m.App = r.str()
	r.close(o)

	k := &c.Creative
	o, _ = r.open()
	k.ID = r.str()
	k.Kind = auction.CreativeKind(r.str())
	k.Size.W = int(r.int())
	k.Size.H = int(r.int())
	k.Duration = int(r.int())
	k.MIME = r.str()
	k.Protocol = int(r.int())
	k.Attributes = r.ints()
	r.close(o)

	o, ok := r.open()
	if ok {
		c.Deal = &auction.Deal{ID: r.str(), Floor: auction.Micros(r.int()), FloorCurrency: r.str(), Type: int(r.int())}
		if len(q.Impressions) > 0 {
			q.Impressions[0].Deals = []auction.Deal{*c.Deal}
		}
	}
	r.close(o)

	o, _ = r.open()
	c.Price = auction.Micros(r.int())
	c.Value = auction.Micros(r.int())
	c.Floor = auction.Micros(r.int())
	c.Prediction.Click = r.float32()
	c.Prediction.Conversion = r.float32()
	c.Prediction.ClickVersion = r.int()
	c.Prediction.ConversionVersion = r.int()
	r.close(o)

	r.close(body)
	return c
}

func readImpression(r *reader, c *BidContext) {
	p := &auction.Impression{}
	o, ok := r.open()
	p.ID = r.str()
	p.TagID = r.str()
	p.Secure = r.bool()
	p.Position = int(r.int())
	p.Floor = auction.Micros(r.int())
	p.FloorCurrency = r.str()
	p.Interstitial = r.bool()
	p.Rewarded = r.bool()
	p.PrivateAuction = r.bool()
	r.close(o)
	if ok {
		c.Request.Impressions = []auction.Impression{{}}
	}

	if o, ok := r.open(); ok {
		f := &auction.Banner{}
		in, _ := r.open()
		for r.err == nil && r.left > 0 {
			f.Sizes = append(f.Sizes, auction.Size{W: int(r.int()), H: int(r.int())})
		}
		r.close(in)
		f.BlockedTypes = r.ints()
		f.BlockedAttributes = r.ints()
		f.MIMEs = r.strs()
		r.close(o)
		p.Banner = f
	} else {
		r.close(o)
	}
	if o, ok := r.open(); ok {
		f := &auction.Video{}
		f.Size.W = int(r.int())
		f.Size.H = int(r.int())
		f.MIMEs = r.strs()
		f.MinDuration = int(r.int())
		f.MaxDuration = int(r.int())
		f.Protocols = r.ints()
		f.BlockedAttributes = r.ints()
		f.Placement = int(r.int())
		r.close(o)
		p.Video = f
	} else {
		r.close(o)
	}
	if o, ok := r.open(); ok {
		f := &auction.Audio{}
		f.MIMEs = r.strs()
		f.MinDuration = int(r.int())
		f.MaxDuration = int(r.int())
		f.Protocols = r.ints()
		f.BlockedAttributes = r.ints()
		r.close(o)
		p.Audio = f
	} else {
		r.close(o)
	}
	if o, ok := r.open(); ok {
		f := &auction.Native{}
		f.Version = r.str()
		f.BlockedAttributes = r.ints()
		r.close(o)
		p.Native = f
	} else {
		r.close(o)
	}
	if ok {
		c.Request.Impressions[0] = *p
	}
}

// unixNano is 0 for the zero time, whose own nanoseconds do not fit.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 || n == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
