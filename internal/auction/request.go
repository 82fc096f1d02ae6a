// Package auction is the domain: what is auctioned, who may buy it, at what price, and why not.
//
// It imports only the standard library. Other rooms translate: internal/openrtb turns OpenRTB into Request and Result
// into OpenRTB, internal/features turns (Request, Candidate) into a row of indices, internal/events records what
// happened.
package auction

import "time"

// Request is one auction as every room sees it: decoded, normalised, bounded, and without what the law forbids. Package
// privacy makes it of a Raw. When the auction has been answered, the Raw may be reused (Reset), so nobody may keep a
// pointer into it.
type Request struct {
	ID       string
	Exchange string    // the name of the seller that sent it: internal/sellers knows who it is
	Received time.Time // when the first byte was read
	Deadline time.Time // Received + tmax − margin: the answer must be written by then
	Test     bool      // answered, but never reserved, billed, paced or learnt from

	Type              int      // OpenRTB at: 1 first price, 2 second price (anything else is treated as 2)
	Currencies        []string // ISO 4217, upper case; empty: the exchange accepts USD
	BlockedCategories []string // bcat
	BlockedDomains    []string // badv, lower case
	BlockedApps       []string // bapp
	Seats             []string // wseat; empty: all
	BlockedSeats      []string // bseat

	Impressions []Impression
	Inventory   Inventory
	Device      Device
	User        User
	Privacy     Privacy
}

// Impression is one placement (OpenRTB imp). At least one of its formats is set.
type Impression struct {
	ID       string
	TagID    string
	Secure   bool
	Position int    // banner.pos or video.pos; 0 unknown
	Floor    Micros // in FloorCurrency, per impression
	// FloorCurrency is ISO 4217, upper case; "USD" if the request has none.
	FloorCurrency string
	// Quantity is how many impressions one display counts for (imp.qty.multiplier, of outdoor screens); 0 means 1. Floor
	// and price are for one of them.
	Quantity       float64
	Interstitial   bool
	Rewarded       bool
	PrivateAuction bool // pmp.private_auction: only deals may bid
	Deals          []Deal

	Banner *Banner
	Video  *Video
	Audio  *Audio
	Native *Native

	spare *formats // memory of an earlier auction, for reuse (reuse.go)
}

// Size is in device-independent pixels.
type Size struct{ W, H int }

// Banner lists the sizes that fit, the preferred one first.
type Banner struct {
	Sizes             []Size
	BlockedTypes      []int // btype
	BlockedAttributes []int // battr
	MIMEs             []string
}

// Video bounds a video creative. Durations are in seconds; 0: no bound.
type Video struct {
	Size                     Size // zero: unknown
	MIMEs                    []string
	MinDuration, MaxDuration int
	Protocols                []int
	BlockedAttributes        []int
	Placement                int // plcmt, or legacy placement
}

// Audio bounds an audio creative. Durations are in seconds; 0: no bound.
type Audio struct {
	MIMEs                    []string
	MinDuration, MaxDuration int
	Protocols                []int
	BlockedAttributes        []int
}

// Native is a native request; Request is the native markup request as sent (JSON), not interpreted here.
type Native struct {
	Request           string
	Version           string
	BlockedAttributes []int
}

// Deal is a private deal offered for one impression.
type Deal struct {
	ID            string
	Floor         Micros // in FloorCurrency
	FloorCurrency string
	Type          int      // at: 0 as in the auction, 1 first price, 2 second price, 3 fixed price (Floor)
	Seats         []string // wseat; empty: all
	Advertisers   []string // wadomain; empty: all
}

// InventoryKind says where the ad would show.
type InventoryKind string

const (
	Site InventoryKind = "site"
	App  InventoryKind = "app"
	DOOH InventoryKind = "dooh"
)

// Inventory is OpenRTB site, app or dooh.
type Inventory struct {
	Kind       InventoryKind // "" if the request has none of the three
	ID         string
	Name       string
	Domain     string   // lower case, without "www."
	Bundle     string   // app store id
	Page       string   // page URL
	Publisher  string   // publisher.id
	Categories []string // cat, sectioncat and pagecat, without duplicates
	Language   string   // content.language, ISO 639-1 alpha-2, lower case
	Keywords   []string
}

// Device is OpenRTB device.
type Device struct {
	UserAgent  string
	IP         string
	Type       int    // devicetype; 0 unknown
	OS         string // lower case: "ios", "android", "windows", …
	OSVersion  string
	Make       string
	Model      string
	Language   string // ISO 639-1 alpha-2, lower case
	Carrier    string
	Connection int // connectiontype; 0 unknown
	W, H       int
	LimitAds   bool // lmt or dnt
	Geo        Geo
}

// Geo is device.geo, or user.geo if the device has none.
type Geo struct {
	Country   string // ISO 3166-1 alpha-2, upper case, "" unknown (alpha-3 on the wire)
	Region    string
	City      string
	Zip       string
	Metro     string
	UTCOffset int  // minutes east of UTC
	HasOffset bool // UTCOffset was sent
}

// User is OpenRTB user.
type User struct {
	ID          string
	BuyerUID    string
	YearOfBirth int
	Gender      string
	Keywords    []string
	Segments    []Segment
}

// Segment is one value of user.data: Data is data.name (or data.id), Value is segment.id (or name, or value).
type Segment struct{ Data, Value string }

// Privacy is what the law made of the request (package privacy). The consent strings themselves are not part of it.
type Privacy struct {
	GDPR  bool // the GDPR applies
	COPPA bool // the request is directed at a child, or the user is known to be one
	// Contextual says that identifiers and profile were erased: User, addresses, precise places. Only campaigns that may
	// bid without consent take part.
	Contextual bool
	// Unstored says that the user allows the bid, but not that identifiers and profile are stored. Events erase them.
	Unstored bool
	// Detail says that an erased request keeps details of the device, such as the user agent.
	Detail bool
	DSA    DSA
}

// DSA is what the exchange asks of transparency under the Digital Services Act (regs.ext.dsa).
type DSA struct {
	Asked    bool // dsarequired is at least 1: the exchange takes transparency data
	Required bool // dsarequired is 2 or 3: a bid without is rejected
	Withheld bool // datatopub is 0: only who renders is sent
	Render   Rendering
}

// Rendering says who shows the transparency data of an ad (pubrender).
type Rendering int8

const (
	RenderUnknown Rendering = iota // the request does not say
	RenderNever                    // the publisher cannot: the ad must
	RenderEither                   // the publisher can, if the ad does not
	RenderAlways                   // the publisher will: the ad must not
)
