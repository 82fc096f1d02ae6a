package auction

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Fault is one mistake in a campaign, and where it is.
type Fault struct {
	Index    int    // position in the list given to NewCampaignSet
	Campaign string // its id, "" if it has none
	Path     string // key within the campaign, as in "creatives[1].size"; "" for the campaign as a whole
	Problem  string // what is wrong, and the remedy
}

// Error returns, for example, "campaigns[3] (shoes-us): creatives[1].size: is empty; …".
func (f *Fault) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "campaigns[%d]", f.Index)
	if f.Campaign != "" {
		fmt.Fprintf(&b, " (%s)", f.Campaign)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Problem)
	return b.String()
}

// Bounds of money, so that sums of a day's spend cannot overflow.
const (
	maxGoal  = Micros(1e6 * 1e6) // a million units for one impression, click or conversion
	maxDaily = Micros(1e9 * 1e6) // a billion units a day
)

// Faults returns everything that keeps the campaign from serving. index is its position in the list of campaigns.
func (c *Campaign) Faults(index int) []*Fault {
	v := faults{index: index, campaign: c.ID}
	v.name("id", c.ID)
	v.require(c.Advertiser != "", "advertiser", "is empty; name the company that pays")
	v.domain("domain", c.Domain)
	v.unique("categories", c.Categories)
	v.require(c.DailyBudget > 0 && c.DailyBudget <= maxDaily, "daily_budget",
		"is %s; give an amount above 0 and at most %s", c.DailyBudget, maxDaily)
	v.require(c.Pacing == "" || c.Pacing == PaceEven || c.Pacing == PaceASAP, "pacing",
		"is %q; choose even or asap", string(c.Pacing))
	v.require(c.Start.IsZero() || c.End.IsZero() || c.Start.Before(c.End), "schedule", "ends before it starts")
	v.require(c.Goal.Kind == CPM || c.Goal.Kind == CPC || c.Goal.Kind == CPA, "goal",
		"is of kind %q; choose one of cpm, cpc, cpa", string(c.Goal.Kind))
	v.require(c.Goal.Value > 0 && c.Goal.Value <= maxGoal, "goal",
		"is worth %s; give a value above 0 and at most %s", c.Goal.Value, maxGoal)
	v.targeting(&c.Targeting)
	v.transparency(c.DSA)
	v.require(len(c.Creatives) > 0, "creatives", "is empty; a campaign needs at least one creative")
	for i := range c.Creatives {
		v.creative(fmt.Sprintf("creatives[%d]", i), &c.Creatives[i])
		for j := range i {
			v.require(c.Creatives[i].ID == "" || c.Creatives[i].ID != c.Creatives[j].ID, fmt.Sprintf("creatives[%d].id", i),
				"%q is also the id of creatives[%d]; ids of creatives are unique within a campaign", c.Creatives[i].ID, j)
		}
	}
	return v.list
}

type faults struct {
	index    int
	campaign string
	list     []*Fault
}

func (v *faults) require(ok bool, path, format string, args ...any) {
	if !ok {
		v.list = append(v.list, &Fault{v.index, v.campaign, path, fmt.Sprintf(format, args...)})
	}
}

// name checks an id, because ids are part of URLs, event keys and metric labels.
func (v *faults) name(path, id string) {
	ok := id != "" && len(id) <= 128
	for _, r := range id {
		ok = ok && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:", r))
	}
	v.require(ok, path, "%q is not an id; use 1 to 128 letters, digits, '-', '_', '.' or ':'", id)
}

func (v *faults) domain(path, d string) {
	ok := strings.Contains(d, ".") && !strings.ContainsAny(d, "/:@ \t") && d == strings.ToLower(d) &&
		!strings.HasPrefix(d, ".") && !strings.HasSuffix(d, ".")
	v.require(ok, path, "%q is not a domain; write it as in example.com, lower case, without scheme or path", d)
}

func (v *faults) unique(path string, list []string) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.require(s != "", at, "is empty; remove it")
		v.require(s == "" || !slices.Contains(list[:i], s), at, "%q is in the list twice; remove one", s)
	}
}

func (v *faults) targeting(t *Targeting) {
	for i, c := range t.Countries {
		ok := len(c) == 2 && c[0] >= 'A' && c[0] <= 'Z' && c[1] >= 'A' && c[1] <= 'Z'
		v.require(ok, fmt.Sprintf("targeting.countries[%d]", i), "%q is not a country; use ISO 3166-1 alpha-2, as in US", c)
	}
	for i, d := range t.DeviceTypes {
		v.require(d >= 1 && d <= 8, fmt.Sprintf("targeting.device_types[%d]", i),
			"%d is not a device type; OpenRTB has 1 (mobile or tablet) to 8 (out of home)", d)
	}
	for i, h := range t.HoursOfWeek {
		v.require(h >= 0 && h < 168, fmt.Sprintf("targeting.hours[%d]", i),
			"%d is not an hour of the week; 0 is Monday 00:00, 167 Sunday 23:00", h)
	}
	for _, l := range []struct {
		path string
		list []string
	}{
		{"targeting.countries", t.Countries}, {"targeting.regions", t.Regions}, {"targeting.os", t.OS},
		{"targeting.languages", t.Languages}, {"targeting.exchanges", t.Exchanges},
		{"targeting.allow_domains", t.AllowDomains}, {"targeting.deny_domains", t.DenyDomains},
		{"targeting.page_categories", t.PageCategories}, {"targeting.deals", t.Deals},
	} {
		v.unique(l.path, l.list)
	}
	for i, l := range t.Languages {
		v.require(len(l) == 2 && l == strings.ToLower(l), fmt.Sprintf("targeting.languages[%d]", i),
			"%q is not a language; use ISO 639-1 alpha-2 in lower case, as in en", l)
	}
	for i, o := range t.OS {
		v.require(o == strings.ToLower(o), fmt.Sprintf("targeting.os[%d]", i), "%q must be in lower case", o)
	}
	for _, l := range []struct {
		path string
		list []string
	}{{"targeting.allow_domains", t.AllowDomains}, {"targeting.deny_domains", t.DenyDomains}} {
		for i, d := range l.list {
			v.require(!strings.ContainsAny(d, "/:@ ") && !strings.HasPrefix(strings.ToLower(d), "www."), fmt.Sprintf("%s[%d]", l.path, i),
				"%q would never match; write a domain as in example.com, without www., scheme or path, or an app's bundle", d)
		}
	}
	for i, d := range t.AllowDomains {
		v.require(!slices.Contains(t.DenyDomains, d), fmt.Sprintf("targeting.allow_domains[%d]", i),
			"%q is denied as well; remove it from one of the lists", d)
	}
}

// maxTransparency bounds the names of DSA data, in bytes: Prebid Server rejects longer ones.
const maxTransparency = 100

func (v *faults) transparency(d *Transparency) {
	if d == nil {
		return
	}
	for _, f := range []struct{ path, name string }{{"dsa.behalf", d.Behalf}, {"dsa.paid", d.Paid}} {
		v.require(f.name != "" && len(f.name) <= maxTransparency, f.path, "%q must have 1 to %d bytes; name the company", f.name, maxTransparency)
	}
	for i, u := range d.Users {
		v.domain(fmt.Sprintf("dsa.transparency[%d].domain", i), u.Domain)
		v.require(len(u.Params) > 0, fmt.Sprintf("dsa.transparency[%d].params", i), "is empty; list what was used: 1 profiling, 2 basic advertising, 3 precise geolocation")
		for _, p := range u.Params {
			v.require(p >= 1 && p <= 3, fmt.Sprintf("dsa.transparency[%d].params", i), "%d is none of 1 profiling, 2 basic advertising, 3 precise geolocation", p)
		}
	}
}

func (v *faults) creative(path string, c *Creative) {
	v.name(path+".id", c.ID)
	v.require(c.Markup != "", path+".markup", "is empty; give the HTML, VAST or native JSON to show")
	v.require(strings.HasPrefix(c.ClickURL, "https://") || strings.HasPrefix(c.ClickURL, "http://"), path+".click_url",
		"%q is not a web address; give the landing page with https://", c.ClickURL)
	ok := c.Size.W >= 0 && c.Size.H >= 0 && c.Size.W <= math.MaxInt16 && c.Size.H <= math.MaxInt16
	v.require(ok, path+".size", "%dx%d is out of range", c.Size.W, c.Size.H)
	switch c.Kind {
	case BannerCreative:
		v.require(c.Size.W != 0 && c.Size.H != 0, path+".size", "is missing; a banner has one, as in 300x250")
	case VideoCreative, AudioCreative:
		v.require(c.Duration > 0, path+".duration", "is %d; give the length in seconds", c.Duration)
		v.require(c.MIME != "", path+".mime", "is empty; give the media type, as in video/mp4 or audio/mpeg")
		v.require(c.Protocol > 0, path+".protocol", "is missing; give the VAST protocol of OpenRTB, as in 3 (VAST 3.0)")
	case NativeCreative:
	default:
		v.require(false, path+".kind", "%q is not a kind; choose one of banner, video, audio, native", string(c.Kind))
	}
}
