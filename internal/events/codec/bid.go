package codec

import (
	"math"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/packed"
)

// AppendBody appends the encoding of a bid's body, as an event's Body holds it, to b.
func AppendBody(b []byte, c *events.BidContext) []byte {
	q := &c.Request
	b = packed.AppendList(b, 15)

	b = packed.AppendList(b, 6)
	b = packed.AppendText(b, q.ID)
	b = packed.AppendText(b, q.Exchange)
	b = packed.AppendInt(b, unixNano(q.Received))
	b = packed.AppendInt(b, unixNano(q.Deadline))
	b = packed.AppendFlag(b, q.Test)
	b = packed.AppendInt(b, int64(q.Type))

	if len(q.Impressions) == 0 {
		for range 5 {
			b = packed.AppendNil(b)
		}
	} else {
		b = appendImpression(b, &q.Impressions[0])
	}

	v := &q.Inventory
	b = packed.AppendList(b, 10)
	b = packed.AppendText(b, string(v.Kind))
	b = packed.AppendText(b, v.ID)
	b = packed.AppendText(b, v.Name)
	b = packed.AppendText(b, v.Domain)
	b = packed.AppendText(b, v.Bundle)
	b = packed.AppendText(b, v.Page)
	b = packed.AppendText(b, v.Publisher)
	b = packed.AppendTexts(b, v.Categories)
	b = packed.AppendText(b, v.Language)
	b = packed.AppendTexts(b, v.Keywords)

	d := &q.Device
	b = packed.AppendList(b, 13)
	b = packed.AppendText(b, d.UserAgent)
	b = packed.AppendText(b, d.IP)
	b = packed.AppendInt(b, int64(d.Type))
	b = packed.AppendText(b, d.OS)
	b = packed.AppendText(b, d.OSVersion)
	b = packed.AppendText(b, d.Make)
	b = packed.AppendText(b, d.Model)
	b = packed.AppendText(b, d.Language)
	b = packed.AppendText(b, d.Carrier)
	b = packed.AppendInt(b, int64(d.Connection))
	b = packed.AppendInt(b, int64(d.W))
	b = packed.AppendInt(b, int64(d.H))
	b = packed.AppendFlag(b, d.LimitAds)

	g := &d.Geo
	b = packed.AppendList(b, 7)
	b = packed.AppendText(b, g.Country)
	b = packed.AppendText(b, g.Region)
	b = packed.AppendText(b, g.City)
	b = packed.AppendText(b, g.Zip)
	b = packed.AppendText(b, g.Metro)
	b = packed.AppendInt(b, int64(g.UTCOffset))
	b = packed.AppendFlag(b, g.HasOffset)

	u := &q.User
	b = packed.AppendList(b, 6)
	b = packed.AppendText(b, u.ID)
	b = packed.AppendText(b, u.BuyerUID)
	b = packed.AppendInt(b, int64(u.YearOfBirth))
	b = packed.AppendText(b, u.Gender)
	b = packed.AppendTexts(b, u.Keywords)
	b = packed.AppendList(b, 2*len(u.Segments))
	for _, s := range u.Segments {
		b = packed.AppendText(b, s.Data)
		b = packed.AppendText(b, s.Value)
	}

	b = packed.AppendList(b, 2)
	b = packed.AppendFlag(b, q.Privacy.GDPR)
	b = packed.AppendFlag(b, q.Privacy.COPPA)

	m := &c.Campaign
	b = packed.AppendList(b, 8)
	b = packed.AppendText(b, m.ID)
	b = packed.AppendText(b, m.Advertiser)
	b = packed.AppendText(b, m.Domain)
	b = packed.AppendTexts(b, m.Categories)
	b = packed.AppendText(b, m.Seat)
	b = packed.AppendText(b, string(m.Goal.Kind))
	b = packed.AppendInt(b, int64(m.Goal.Value))
	b = packed.AppendText(b, m.App)

	k := &c.Creative
	b = packed.AppendList(b, 8)
	b = packed.AppendText(b, k.ID)
	b = packed.AppendText(b, string(k.Kind))
	b = packed.AppendInt(b, int64(k.Size.W))
	b = packed.AppendInt(b, int64(k.Size.H))
	b = packed.AppendInt(b, int64(k.Duration))
	b = packed.AppendText(b, k.MIME)
	b = packed.AppendInt(b, int64(k.Protocol))
	b = appendInts(b, k.Attributes)

	if c.Deal == nil {
		b = packed.AppendNil(b)
	} else {
		b = packed.AppendList(b, 4)
		b = packed.AppendText(b, c.Deal.ID)
		b = packed.AppendInt(b, int64(c.Deal.Floor))
		b = packed.AppendText(b, c.Deal.FloorCurrency)
		b = packed.AppendInt(b, int64(c.Deal.Type))
	}

	b = packed.AppendList(b, 7)
	b = packed.AppendInt(b, int64(c.Price))
	b = packed.AppendInt(b, int64(c.Value))
	b = packed.AppendInt(b, int64(c.Floor))
	b = packed.AppendFloat32(b, c.Prediction.Click)
	b = packed.AppendFloat32(b, c.Prediction.Conversion)
	b = packed.AppendInt(b, c.Prediction.ClickVersion)
	return packed.AppendInt(b, c.Prediction.ConversionVersion)
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
