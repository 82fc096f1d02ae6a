package auction

// formats keeps the memory that an impression of an earlier auction pointed to, for reuse.
type formats struct {
	banner Banner
	video  Video
	audio  Audio
	native Native
}

// Reset empties r for the next auction and keeps the capacity of its slices. What was taken from r, or from the Request
// that was made of it (a Candidate's Deal, a slice), is no longer valid afterwards. To build the next request, use
// AddImpression and, on the impression, AddDeal, UseBanner, UseVideo, UseAudio and UseNative, which reuse memory.
// Appending, and pointing to other memory, is allowed.
func (r *Raw) Reset() {
	r.Signals, r.Unreadable = Signals{Sections: r.Signals.Sections[:0]}, 0
	r.Draft = Draft{
		Currencies:        r.Currencies[:0],
		BlockedCategories: r.BlockedCategories[:0],
		BlockedDomains:    r.BlockedDomains[:0],
		BlockedApps:       r.BlockedApps[:0],
		Seats:             r.Seats[:0],
		BlockedSeats:      r.BlockedSeats[:0],
		Impressions:       r.Impressions[:0],
		Inventory:         Inventory{Categories: r.Inventory.Categories[:0], Keywords: r.Inventory.Keywords[:0]},
		User:              User{Keywords: r.User.Keywords[:0], Segments: r.User.Segments[:0]},
	}
}

// AddImpression appends an empty impression and returns it. The pointer is valid until the next AddImpression.
func (r *Raw) AddImpression() *Impression {
	if len(r.Impressions) == cap(r.Impressions) {
		r.Impressions = append(r.Impressions, Impression{})
		return &r.Impressions[len(r.Impressions)-1]
	}
	r.Impressions = r.Impressions[:len(r.Impressions)+1]
	imp := &r.Impressions[len(r.Impressions)-1]
	*imp = Impression{Deals: imp.Deals[:0], spare: imp.spare}
	return imp
}

// AddDeal appends an empty deal and returns it. The pointer is valid until the next AddDeal.
func (i *Impression) AddDeal() *Deal {
	if len(i.Deals) == cap(i.Deals) {
		i.Deals = append(i.Deals, Deal{})
		return &i.Deals[len(i.Deals)-1]
	}
	i.Deals = i.Deals[:len(i.Deals)+1]
	deal := &i.Deals[len(i.Deals)-1]
	*deal = Deal{Seats: deal.Seats[:0], Advertisers: deal.Advertisers[:0]}
	return deal
}

// UseBanner sets i.Banner to an empty banner and returns it.
func (i *Impression) UseBanner() *Banner {
	b := &i.formats().banner
	*b = Banner{
		Sizes: b.Sizes[:0], BlockedTypes: b.BlockedTypes[:0],
		BlockedAttributes: b.BlockedAttributes[:0], MIMEs: b.MIMEs[:0],
	}
	i.Banner = b
	return b
}

// UseVideo sets i.Video to an empty video and returns it.
func (i *Impression) UseVideo() *Video {
	v := &i.formats().video
	*v = Video{MIMEs: v.MIMEs[:0], Protocols: v.Protocols[:0], BlockedAttributes: v.BlockedAttributes[:0]}
	i.Video = v
	return v
}

// UseAudio sets i.Audio to an empty audio and returns it.
func (i *Impression) UseAudio() *Audio {
	a := &i.formats().audio
	*a = Audio{MIMEs: a.MIMEs[:0], Protocols: a.Protocols[:0], BlockedAttributes: a.BlockedAttributes[:0]}
	i.Audio = a
	return a
}

// UseNative sets i.Native to an empty native and returns it.
func (i *Impression) UseNative() *Native {
	n := &i.formats().native
	*n = Native{BlockedAttributes: n.BlockedAttributes[:0]}
	i.Native = n
	return n
}

func (i *Impression) formats() *formats {
	if i.spare == nil {
		i.spare = new(formats)
	}
	return i.spare
}
