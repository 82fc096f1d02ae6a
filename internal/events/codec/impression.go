package codec

import (
	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/packed"
)

func appendImpression(b []byte, p *auction.Impression) []byte {
	b = packed.AppendList(b, 9)
	b = packed.AppendText(b, p.ID)
	b = packed.AppendText(b, p.TagID)
	b = packed.AppendFlag(b, p.Secure)
	b = packed.AppendInt(b, int64(p.Position))
	b = packed.AppendInt(b, int64(p.Floor))
	b = packed.AppendText(b, p.FloorCurrency)
	b = packed.AppendFlag(b, p.Interstitial)
	b = packed.AppendFlag(b, p.Rewarded)
	b = packed.AppendFlag(b, p.PrivateAuction)

	if f := p.Banner; f == nil {
		b = packed.AppendNil(b)
	} else {
		b = packed.AppendList(b, 4)
		b = packed.AppendList(b, 2*len(f.Sizes))
		for _, s := range f.Sizes {
			b = packed.AppendInt(b, int64(s.W))
			b = packed.AppendInt(b, int64(s.H))
		}
		b = appendInts(b, f.BlockedTypes)
		b = appendInts(b, f.BlockedAttributes)
		b = packed.AppendTexts(b, f.MIMEs)
	}
	if f := p.Video; f == nil {
		b = packed.AppendNil(b)
	} else {
		b = packed.AppendList(b, 8)
		b = packed.AppendInt(b, int64(f.Size.W))
		b = packed.AppendInt(b, int64(f.Size.H))
		b = packed.AppendTexts(b, f.MIMEs)
		b = packed.AppendInt(b, int64(f.MinDuration))
		b = packed.AppendInt(b, int64(f.MaxDuration))
		b = appendInts(b, f.Protocols)
		b = appendInts(b, f.BlockedAttributes)
		b = packed.AppendInt(b, int64(f.Placement))
	}
	if f := p.Audio; f == nil {
		b = packed.AppendNil(b)
	} else {
		b = packed.AppendList(b, 5)
		b = packed.AppendTexts(b, f.MIMEs)
		b = packed.AppendInt(b, int64(f.MinDuration))
		b = packed.AppendInt(b, int64(f.MaxDuration))
		b = appendInts(b, f.Protocols)
		b = appendInts(b, f.BlockedAttributes)
	}
	if f := p.Native; f == nil {
		b = packed.AppendNil(b)
	} else {
		b = packed.AppendList(b, 2)
		b = packed.AppendText(b, f.Version)
		b = appendInts(b, f.BlockedAttributes)
	}
	return b
}

func readImpression(r *reader, c *events.BidContext) {
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
