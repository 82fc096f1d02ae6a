package auction

import "time"

// Campaign is one campaign, as an operator writes it and the loader has checked it. A campaign in use is never changed:
// a new CampaignSet replaces the old one.
type Campaign struct {
	ID          string
	Advertiser  string
	Domain      string   // adomain, lower case
	App         string   // bundle of the advertised app, which bapp can block; "" if no app is advertised
	Categories  []string // IAB content categories of what is advertised
	Seat        string   // the seat that buys; "" means the bidder's default
	DailyBudget Micros
	Pacing      Pacing
	Start, End  time.Time // End is exclusive; zero means no bound
	Goal        Goal
	Models      CampaignModels
	Targeting   Targeting
	Consent     ConsentTerms
	DSA         *Transparency // nil: no bid where the exchange requires it
	Creatives   []Creative
}

// ConsentTerms say where a campaign does not bid. The zero value bids wherever the law allows.
type ConsentTerms struct {
	OnlyConsented bool // not on requests whose identifiers and profile were erased (Privacy.Contextual)
	NoChildren    bool // not on requests directed at children (Privacy.COPPA)
}

// Transparency is what the Digital Services Act wants to be known of an ad (bid.ext.dsa).
type Transparency struct {
	Behalf  string // on whose behalf the ad is shown, at most 100 bytes
	Paid    string // who paid for it, at most 100 bytes
	Renders bool   // the markup shows this itself (adrender)
	Users   []TransparencyUser
}

// TransparencyUser is a party that used data of the user to choose the ad, and which (dsaparams: 1 profiling, 2 basic
// advertising, 3 precise geolocation).
type TransparencyUser struct {
	Domain string
	Params []int
}

// Pacing says how a campaign's daily budget is spent.
type Pacing string

const (
	PaceEven Pacing = "even" // evenly over the day (see pacer); "" means the same
	PaceASAP Pacing = "asap" // as soon as possible
)

// GoalKind says what an advertiser pays for.
type GoalKind string

const (
	CPM GoalKind = "cpm" // Value is per impression
	CPC GoalKind = "cpc" // Value is per click
	CPA GoalKind = "cpa" // Value is per conversion
)

// Goal is what one impression, click or conversion is worth, in micros of the campaign currency.
type Goal struct {
	Kind  GoalKind
	Value Micros
}

// CampaignModels are the names of the models that predict for a campaign; "" means the bidder's default.
type CampaignModels struct{ Click, Conversion string }

// Targeting narrows where a campaign may bid. An empty list allows everything. All lists must match, each by any one of
// its values. Codes are in the normal form of Request.
type Targeting struct {
	Countries      []string // ISO alpha-2
	Regions        []string // "US-CA" or "CA"
	DeviceTypes    []int
	OS             []string
	Languages      []string
	Exchanges      []string
	AllowDomains   []string // of site domain or app bundle; a domain allows its subdomains
	DenyDomains    []string
	PageCategories []string // "IAB1" allows "IAB1-3"
	HoursOfWeek    []int    // 0 = Monday 00:00 in the user's local time … 167
	Deals          []string // bids only on these deals; empty: the open auction and every deal open to its seat
}

// CreativeKind is the format of a creative.
type CreativeKind string

const (
	BannerCreative CreativeKind = "banner"
	VideoCreative  CreativeKind = "video"
	AudioCreative  CreativeKind = "audio"
	NativeCreative CreativeKind = "native"
)

// Creative is one ad. Markup is HTML (banner), VAST (video, audio) or native JSON. Macros such as ${CLICK_URL},
// ${IMPRESSION_URL} and ${AUCTION_ID} are filled in when the bid is sent.
type Creative struct {
	ID         string
	Kind       CreativeKind
	Size       Size // banner and video
	Duration   int  // seconds, video and audio
	MIME       string
	Protocol   int // VAST protocol, video and audio
	Attributes []int
	Markup     string
	ClickURL   string // landing page
	ImageURL   string // iurl
}
