package codec

import (
	"math"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
)

// AppendBody appends the encoding of a bid's body, as an event's Body holds it, to b.
func AppendBody(b []byte, c *events.BidContext) []byte {
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

// readBid mirrors AppendBody.
func readBid(r *reader) *events.BidContext {
	c := &events.BidContext{}
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

// unixNano returns t in Unix ns. It returns 0 for the zero time, which does not fit in an int64.
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
