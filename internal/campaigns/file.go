// Package campaigns reads the file in which an operator writes campaigns, and watches it while the bidder serves.
//
// The file is decoded strictly. Every fault is reported at once, with its line. A file with a fault is refused as a
// whole, and the bidder keeps the set that it has.
package campaigns

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gavel/internal/auction"
	"gavel/internal/campaigns/watch"
	"gavel/internal/strictyaml"
)

// document is the file. See configs/campaigns.yaml for an example of each key.
type document struct {
	Currency  string     `yaml:"currency"`
	Campaigns []campaign `yaml:"campaigns"`
}

type campaign struct {
	ID          string     `yaml:"id"`
	Advertiser  string     `yaml:"advertiser"`
	Domain      string     `yaml:"domain"`
	App         string     `yaml:"app"`
	Categories  []string   `yaml:"categories"`
	Seat        string     `yaml:"seat"`
	DailyBudget money      `yaml:"daily_budget"`
	Pacing      string     `yaml:"pacing"`
	Schedule    schedule   `yaml:"schedule"`
	Goal        goal       `yaml:"goal"`
	Models      modelNames `yaml:"models"`
	Targeting   targeting  `yaml:"targeting"`
	Consent     consent    `yaml:"consent"`
	DSA         *dsa       `yaml:"dsa"`
	Creatives   []creative `yaml:"creatives"`
}

// schedule is when a campaign runs. Start and End are dates (their first instant, UTC) or times with an offset; End is
// exclusive.
type schedule struct {
	Start time.Time `yaml:"start"`
	End   time.Time `yaml:"end"`
}

// modelNames are the models that predict for the campaign, in place of the bidder's own.
type modelNames struct {
	Click      string `yaml:"click"`
	Conversion string `yaml:"conversion"`
}

// consent says where a campaign does not bid.
type consent struct {
	Required bool `yaml:"required"`    // not without the user's consent, where ads are contextual
	Children bool `yaml:"no_children"` // not on requests directed at children
}

// dsa is the transparency data that the Digital Services Act asks for.
type dsa struct {
	Behalf       string    `yaml:"behalf"`
	Paid         string    `yaml:"paid"`
	Renders      bool      `yaml:"renders"`
	Transparency []dsaUser `yaml:"transparency"`
}

// dsaUser is a party that used data of the user, and which.
type dsaUser struct {
	Domain string `yaml:"domain"`
	Params []int  `yaml:"params"`
}

// domain converts to the domain's transparency data.
func (d *dsa) domain() *auction.Transparency {
	if d == nil {
		return nil
	}
	out := &auction.Transparency{Behalf: d.Behalf, Paid: d.Paid, Renders: d.Renders}
	for _, u := range d.Transparency {
		out.Users = append(out.Users, auction.TransparencyUser(u))
	}
	return out
}

// goal has one of three keys: the value of a thousand impressions, of one click, or of one conversion.
type goal struct {
	CPM *money `yaml:"cpm"`
	CPC *money `yaml:"cpc"`
	CPA *money `yaml:"cpa"`
}

type targeting struct {
	Countries      []string `yaml:"countries"`
	Regions        []string `yaml:"regions"`
	DeviceTypes    []int    `yaml:"device_types"`
	OS             []string `yaml:"os"`
	Languages      []string `yaml:"languages"`
	Exchanges      []string `yaml:"exchanges"`
	AllowDomains   []string `yaml:"allow_domains"`
	DenyDomains    []string `yaml:"deny_domains"`
	PageCategories []string `yaml:"page_categories"`
	Hours          hours    `yaml:"hours"`
	Deals          []string `yaml:"deals"`
}

type creative struct {
	ID         string `yaml:"id"`
	Kind       string `yaml:"kind"`
	Size       size   `yaml:"size"`
	Duration   int    `yaml:"duration"`
	MIME       string `yaml:"mime"`
	Protocol   int    `yaml:"protocol"`
	Attributes []int  `yaml:"attributes"`
	Markup     string `yaml:"markup"`
	ClickURL   string `yaml:"click_url"`
	ImageURL   string `yaml:"image_url"`
}

// Load reads and compiles the file. If options have a currency, the file must have the same or none, because bids are
// in the currency of options. The error joins every fault, each as "path: line N: …" if the line is known.
func Load(path string, options auction.SetOptions) (*auction.CampaignSet, error) {
	data, err := watch.Read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, options)
}

func parse(path string, data []byte, options auction.SetOptions) (*auction.CampaignSet, error) {
	var doc document
	decodeErr := strictyaml.Decode(path, data, &doc)
	if decodeErr != nil && len(doc.Campaigns) == 0 {
		return nil, decodeErr
	}
	if decodeErr == nil && len(doc.Campaigns) == 0 {
		return nil, fmt.Errorf("%s: campaigns: is empty; list at least one campaign", path)
	}
	var currency error
	switch {
	case options.Currency == "":
		options.Currency = doc.Currency
	case doc.Currency != "" && doc.Currency != options.Currency:
		currency = fmt.Errorf("%s: currency: %s is not the bidder's currency (auction.currency is %s); make them equal",
			path, doc.Currency, options.Currency)
	}
	faults := []error{decodeErr}
	list := make([]auction.Campaign, len(doc.Campaigns))
	lines := newLines(data)
	for i := range doc.Campaigns {
		var problem string
		if list[i], problem = doc.Campaigns[i].domain(); problem != "" {
			faults = append(faults, placed(path, lines, &auction.Fault{Index: i, Campaign: list[i].ID, Path: "goal", Problem: problem}))
		}
	}
	if len(faults) > 1 || decodeErr != nil {
		return nil, errors.Join(append(faults, currency)...) // NewCampaignSet would report the same values as missing
	}
	set, err := auction.NewCampaignSet(list, options)
	if err != nil {
		err = allPlaced(path, lines, err)
	}
	if err := errors.Join(currency, err); err != nil {
		return nil, err
	}
	return set, nil
}

// domain converts to the domain's campaign. problem is the fault of its goal, or "".
func (c *campaign) domain() (_ auction.Campaign, problem string) {
	t := c.Targeting
	out := auction.Campaign{
		ID: c.ID, Advertiser: c.Advertiser, Domain: c.Domain, App: c.App, Categories: c.Categories, Seat: c.Seat,
		Models: auction.CampaignModels(c.Models), DailyBudget: auction.Micros(c.DailyBudget), Pacing: auction.Pacing(c.Pacing), Start: c.Schedule.Start, End: c.Schedule.End,
		Targeting: auction.Targeting{
			Countries: t.Countries, Regions: t.Regions, DeviceTypes: t.DeviceTypes, OS: t.OS, Languages: t.Languages,
			Exchanges: t.Exchanges, AllowDomains: t.AllowDomains, DenyDomains: t.DenyDomains,
			PageCategories: t.PageCategories, HoursOfWeek: t.Hours, Deals: t.Deals,
		},
	}
	out.Consent = auction.ConsentTerms{OnlyConsented: c.Consent.Required, NoChildren: c.Consent.Children}
	out.DSA = c.DSA.domain()
	for _, cr := range c.Creatives {
		out.Creatives = append(out.Creatives, auction.Creative{
			ID: cr.ID, Kind: auction.CreativeKind(cr.Kind), Size: auction.Size(cr.Size), Duration: cr.Duration,
			MIME: strings.ToLower(cr.MIME), Protocol: cr.Protocol, Attributes: cr.Attributes, Markup: cr.Markup,
			ClickURL: cr.ClickURL, ImageURL: cr.ImageURL,
		})
	}
	out.Goal, problem = c.Goal.domain()
	return out, problem
}

func (g goal) domain() (out auction.Goal, problem string) {
	keys := 0
	if g.CPM != nil {
		keys++
		out = auction.Goal{Kind: auction.CPM, Value: auction.Micros(*g.CPM / 1000)}
		if *g.CPM%1000 != 0 {
			problem = "cpm has more than three digits after the point: 0.001 for a thousand impressions is the finest price"
		}
	}
	if g.CPC != nil {
		keys++
		out = auction.Goal{Kind: auction.CPC, Value: auction.Micros(*g.CPC)}
	}
	if g.CPA != nil {
		keys++
		out = auction.Goal{Kind: auction.CPA, Value: auction.Micros(*g.CPA)}
	}
	if keys != 1 {
		problem = fmt.Sprintf("has %d of the keys cpm, cpc, cpa; give exactly one", keys)
	}
	return out, problem
}
