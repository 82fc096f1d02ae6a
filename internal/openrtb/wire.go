package openrtb

// The wire types are the part of openrtb2.BidRequest that Gavel reads, with the same names and meanings. Decoding into
// them is faster than into openrtb2.BidRequest (docs/decisions/0001-http-and-json.md). It skips other fields, even
// badly typed ones, and allocates a pointer only if presence matters. A test compares the wire types with openrtb2
// field by field. Extensions are ignored, except those that carry consent, as OpenRTB 2.5 has them, GPC and DSA.
type (
	// jsonText is a string that contains JSON. Some exchanges send the JSON itself.
	jsonText string

	// amount is a price or a quantity that must not count as absent if it cannot be read. It is NaN then.
	amount float64

	// currencyCode is a currency that must not count as absent if it cannot be read. It is "?" then.
	currencyCode string

	wireRequest struct {
		ID    string     `json:"id"`
		Imp   []wireImp  `json:"imp"`
		Site  *wireSite  `json:"site"`
		App   *wireSite  `json:"app"`
		DOOH  *wireSite  `json:"dooh"`
		Dev   wireDevice `json:"device"`
		User  wireUser   `json:"user"`
		Test  int64      `json:"test"`
		AT    int64      `json:"at"`
		TMax  int64      `json:"tmax"`
		WSeat []string   `json:"wseat"`
		BSeat []string   `json:"bseat"`
		Cur   []string   `json:"cur"`
		BCat  []string   `json:"bcat"`
		BAdv  []string   `json:"badv"`
		BApp  []string   `json:"bapp"`
		Regs  wireRegs   `json:"regs"`
	}
	wireImp struct {
		ID       string       `json:"id"`
		Banner   *wireBanner  `json:"banner"`
		Video    *wireVideo   `json:"video"`
		Audio    *wireAudio   `json:"audio"`
		Native   *wireNative  `json:"native"`
		PMP      *wirePMP     `json:"pmp"`
		Instl    int64        `json:"instl"`
		TagID    string       `json:"tagid"`
		Floor    amount       `json:"bidfloor"`
		FloorCur currencyCode `json:"bidfloorcur"`
		Secure   int64        `json:"secure"`
		Rwdd     int64        `json:"rwdd"`
		Qty      *wireQty     `json:"qty"`
	}
	wireQty struct {
		Multiplier amount `json:"multiplier"`
	}
	wireBanner struct {
		Format []wireFormat `json:"format"`
		W      int64        `json:"w"`
		H      int64        `json:"h"`
		BType  []int64      `json:"btype"`
		BAttr  []int64      `json:"battr"`
		Pos    int64        `json:"pos"`
		MIMEs  []string     `json:"mimes"`
	}
	wireFormat struct {
		W int64 `json:"w"`
		H int64 `json:"h"`
	}
	wireVideo struct {
		MIMEs     []string `json:"mimes"`
		MinDur    int64    `json:"minduration"`
		MaxDur    int64    `json:"maxduration"`
		Protocols []int64  `json:"protocols"`
		Protocol  int64    `json:"protocol"`
		W         int64    `json:"w"`
		H         int64    `json:"h"`
		Placement int64    `json:"placement"`
		Plcmt     int64    `json:"plcmt"`
		BAttr     []int64  `json:"battr"`
		Pos       int64    `json:"pos"`
	}
	wireAudio struct {
		MIMEs     []string `json:"mimes"`
		MinDur    int64    `json:"minduration"`
		MaxDur    int64    `json:"maxduration"`
		Protocols []int64  `json:"protocols"`
		BAttr     []int64  `json:"battr"`
	}
	wireNative struct {
		Request jsonText `json:"request"`
		Ver     string   `json:"ver"`
		BAttr   []int64  `json:"battr"`
	}
	wirePMP struct {
		Private int64      `json:"private_auction"`
		Deals   []wireDeal `json:"deals"`
	}
	wireDeal struct {
		ID       string       `json:"id"`
		Floor    amount       `json:"bidfloor"`
		FloorCur currencyCode `json:"bidfloorcur"`
		AT       int64        `json:"at"`
		WSeat    []string     `json:"wseat"`
		WADomain []string     `json:"wadomain"`
	}
	// wireSite is for site, app and dooh, which have nearly the same fields.
	wireSite struct {
		ID         string        `json:"id"`
		Name       string        `json:"name"`
		Domain     string        `json:"domain"`
		Bundle     string        `json:"bundle"`
		Page       string        `json:"page"`
		Cat        []string      `json:"cat"`
		SectionCat []string      `json:"sectioncat"`
		PageCat    []string      `json:"pagecat"`
		Keywords   string        `json:"keywords"`
		KwArray    []string      `json:"kwarray"`
		Publisher  wirePublisher `json:"publisher"`
		Content    wireContent   `json:"content"`
	}
	wirePublisher struct {
		ID string `json:"id"`
	}
	wireContent struct {
		Language string `json:"language"`
		LangB    string `json:"langb"`
	}
	wireDevice struct {
		Geo        wireGeo `json:"geo"`
		DNT        flag    `json:"dnt"`
		Lmt        flag    `json:"lmt"`
		UA         string  `json:"ua"`
		IP         string  `json:"ip"`
		IPv6       string  `json:"ipv6"`
		Type       int64   `json:"devicetype"`
		Make       string  `json:"make"`
		Model      string  `json:"model"`
		OS         string  `json:"os"`
		OSV        string  `json:"osv"`
		H          int64   `json:"h"`
		W          int64   `json:"w"`
		Language   string  `json:"language"`
		LangB      string  `json:"langb"`
		Carrier    string  `json:"carrier"`
		Connection int64   `json:"connectiontype"`
	}
	wireGeo struct {
		Country   string `json:"country"`
		Region    string `json:"region"`
		Metro     string `json:"metro"`
		City      string `json:"city"`
		ZIP       string `json:"zip"`
		UTCOffset *int64 `json:"utcoffset"` // 0 is a value
	}
	wireUser struct {
		ID       string      `json:"id"`
		BuyerUID string      `json:"buyeruid"`
		YOB      int64       `json:"yob"`
		Gender   string      `json:"gender"`
		Keywords string      `json:"keywords"`
		KwArray  []string    `json:"kwarray"`
		Geo      wireGeo     `json:"geo"`
		Data     []wireData  `json:"data"`
		Consent  signal      `json:"consent"`
		Ext      wireUserExt `json:"ext"`
	}
	wireUserExt struct {
		Consent signal `json:"consent"`
	}
	wireData struct {
		ID      string        `json:"id"`
		Name    string        `json:"name"`
		Segment []wireSegment `json:"segment"`
	}
	wireSegment struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	wireRegs struct {
		COPPA     flag        `json:"coppa"`
		GDPR      flag        `json:"gdpr"` // 0 is an answer: see begin
		USPrivacy signal      `json:"us_privacy"`
		GPP       signal      `json:"gpp"`
		GPPSID    []sectionID `json:"gpp_sid"`
		Ext       wireRegsExt `json:"ext"`
	}
	wireRegsExt struct {
		COPPA     flag        `json:"coppa"`
		GDPR      flag        `json:"gdpr"` // as above
		USPrivacy signal      `json:"us_privacy"`
		GPP       signal      `json:"gpp"`
		GPPSID    []sectionID `json:"gpp_sid"`
		GPC       signal      `json:"gpc"` // "1"
		DSA       *wireDSA    `json:"dsa"`
	}
	wireDSA struct {
		Required  demand `json:"dsarequired"`
		PubRender *int64 `json:"pubrender"` // 0 is an answer
		DataToPub *int64 `json:"datatopub"` // 0 is an answer
	}
)

// unanswered is what a flag has whose 0 is an answer, until it is decoded. Exchanges that send -1 mean the same.
const unanswered = -1

// begin empties w for the next request.
func (w *wireRequest) begin() {
	*w = wireRequest{}
	w.Regs.GDPR, w.Regs.Ext.GDPR = unanswered, unanswered
}
