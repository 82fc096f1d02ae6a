package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/prebid/openrtb/v20/adcom1"
	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/exchange/dice"
)

// The tables below are the world's constants. What is drawn from them depends only on the seed.

type country struct {
	alpha3, zone, language string
	regions                []string
	weight, price          float64 // share of users, price level
}

var countries = []country{
	{"USA", "America/New_York", "en", []string{"NY", "MA", "FL", "GA"}, 20, 1.6},
	{"USA", "America/Los_Angeles", "en", []string{"CA", "WA", "OR"}, 12, 1.6},
	{"GBR", "Europe/London", "en", []string{"LND", "MAN"}, 9, 1.4},
	{"DEU", "Europe/Berlin", "de", []string{"BE", "BY", "NW"}, 9, 1.3},
	{"FRA", "Europe/Paris", "fr", []string{"IDF", "PAC"}, 7, 1.1},
	{"CAN", "America/Toronto", "en", []string{"ON", "QC"}, 6, 1.3},
	{"JPN", "Asia/Tokyo", "ja", []string{"13", "27"}, 6, 1.2},
	{"BRA", "America/Sao_Paulo", "pt", []string{"SP", "RJ"}, 6, 0.6},
	{"IND", "Asia/Kolkata", "en", []string{"MH", "DL", "KA"}, 8, 0.4},
	{"ESP", "Europe/Madrid", "es", []string{"MD", "CT"}, 4, 0.9},
	{"ITA", "Europe/Rome", "it", []string{"RM", "MI"}, 4, 0.9},
	{"AUS", "Australia/Sydney", "en", []string{"NSW", "VIC"}, 3, 1.4},
	{"MEX", "America/Mexico_City", "es", []string{"CMX", "JAL"}, 3, 0.6},
	{"POL", "Europe/Warsaw", "pl", []string{"MZ", "MA"}, 3, 0.7},
}

type device struct {
	kind               adcom1.DeviceType
	os, make, model    string
	w, h               int64
	weight             float64
	ua                 string
	osVersions         []string
	mobileConnectivity bool
}

const (
	desktop = adcom1.DeviceType(2)
	tv      = adcom1.DeviceType(3)
	phone   = adcom1.DeviceType(4)
	tablet  = adcom1.DeviceType(5)
)

var devices = []device{
	{desktop, "Windows", "", "", 1920, 1080, 22, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", []string{"10", "11"}, false},
	{desktop, "macOS", "Apple", "Macintosh", 1440, 900, 9, "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", []string{"13.6", "14.4"}, false},
	{phone, "iOS", "Apple", "iPhone15,2", 393, 852, 22, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1", []string{"16.7", "17.4"}, true},
	{phone, "Android", "Samsung", "SM-S911B", 360, 780, 18, "Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36", []string{"13", "14"}, true},
	{phone, "Android", "Xiaomi", "Redmi Note 12", 393, 873, 12, "Mozilla/5.0 (Linux; Android 13; 23021RAA2Y) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Mobile Safari/537.36", []string{"12", "13"}, true},
	{tablet, "iOS", "Apple", "iPad13,18", 820, 1180, 6, "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1", []string{"16.7", "17.4"}, false},
	{tablet, "Android", "Samsung", "SM-X210", 800, 1280, 3, "Mozilla/5.0 (Linux; Android 13; SM-X210) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36", []string{"13"}, false},
	{tv, "Tizen", "Samsung", "UE55", 1920, 1080, 8, "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/7.0 TV Safari/537.36", []string{"7.0"}, false},
}

var categories = []string{"IAB1", "IAB2", "IAB3", "IAB5", "IAB7", "IAB8", "IAB9", "IAB12", "IAB13", "IAB15", "IAB17", "IAB18", "IAB19", "IAB20", "IAB22"}

// A user with the JSON of its device and user objects, made once.
type user struct {
	kind             adcom1.DeviceType
	country          *country
	offset           int
	agent, cluster   string
	deviceJSON, user []byte
	regs             []byte
}

// A site or app, with the JSON of the object for each of its pages.
type inventory struct {
	app      bool
	domain   string
	category string
	price    float64
	pages    [][]byte
	audio    bool
}

type world struct {
	users       []user
	userRank    dice.Table
	sites, apps []inventory
	siteRank    dice.Table
	appRank     dice.Table
}

func newWorld(o *Options, start time.Time) (*world, error) {
	root := dice.New(o.Seed).With(0x776f726c64) // "world"
	w := &world{
		userRank: zipf(o.Users, o.UserSkew), siteRank: zipf(o.Sites, o.InventorySkew), appRank: zipf(o.Apps, o.InventorySkew),
	}
	offsets := make([]int, len(countries))
	for i, c := range countries {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			return nil, fmt.Errorf("sim: cannot load the time zone of %s: %w", c.alpha3, err)
		}
		_, seconds := start.In(zone).Zone()
		offsets[i] = seconds / 60
	}
	countryRank := dice.NewTable(len(countries), func(i int) float64 { return countries[i].weight })
	deviceRank := dice.NewTable(len(devices), func(i int) float64 { return devices[i].weight })
	for i := range o.Users {
		k := root.With(1).With(uint64(i))
		c := countryRank.Pick(k.With(1))
		u, err := newUser(k, i, &countries[c], offsets[c], &devices[deviceRank.Pick(k.With(2))], o)
		if err != nil {
			return nil, err
		}
		w.users = append(w.users, u)
	}
	for i := range o.Sites {
		inv, err := newSite(root.With(2).With(uint64(i)), i)
		if err != nil {
			return nil, err
		}
		w.sites = append(w.sites, inv)
	}
	for i := range o.Apps {
		inv, err := newApp(root.With(3).With(uint64(i)), i)
		if err != nil {
			return nil, err
		}
		w.apps = append(w.apps, inv)
	}
	return w, nil
}

func newUser(k dice.Key, n int, c *country, offset int, d *device, o *Options) (user, error) {
	u := user{kind: d.kind, agent: d.ua, country: c, offset: offset, cluster: fmt.Sprint("k", k.With(3).Intn(o.Clusters))}
	connection := adcom1.ConnectionType(2)
	if d.mobileConnectivity {
		connection = adcom1.ConnectionType([]int{2, 6, 7}[k.With(4).Intn(3)])
	}
	rights := newRights(k, c, o.ConsentShare)
	dev := openrtb2.Device{
		UA: d.ua, IP: fmt.Sprintf("198.51.%d.0", k.With(6).Intn(256)), DeviceType: d.kind, Make: d.make, Model: d.model,
		OS: d.os, OSV: d.osVersions[k.With(7).Intn(len(d.osVersions))], W: d.w, H: d.h, Language: c.language,
		ConnectionType: &connection, Lmt: &rights.limit,
		Geo: &openrtb2.Geo{Country: c.alpha3, Region: c.regions[k.With(8).Intn(len(c.regions))], UTCOffset: int64(offset), Type: 2},
	}
	usr := openrtb2.User{
		ID: fmt.Sprintf("u%07x", n), BuyerUID: fmt.Sprintf("b%016x", uint64(k)),
		Data: []openrtb2.Data{
			{ID: "1", Name: "cluster", Segment: []openrtb2.Segment{{ID: u.cluster}}},
			{ID: "2", Name: "interest", Segment: []openrtb2.Segment{
				{ID: categories[k.With(9).Intn(len(categories))]}, {ID: categories[k.With(10).Intn(len(categories))]}}},
		},
	}
	if k.With(11).Chance(0.4) {
		usr.Yob, usr.Gender = int64(1950+k.With(12).Intn(56)), []string{"F", "M"}[k.With(13).Intn(2)]
	}
	usr.Consent, u.regs = rights.consent, []byte(rights.regs)
	var err error
	if u.deviceJSON, err = json.Marshal(dev); err != nil {
		return u, fmt.Errorf("sim: cannot write device: %w", err)
	}
	if u.user, err = json.Marshal(usr); err != nil {
		return u, fmt.Errorf("sim: cannot write user: %w", err)
	}
	return u, nil
}

const pagesPerSite = 8

func newSite(k dice.Key, n int) (inventory, error) {
	inv := inventory{domain: fmt.Sprintf("site%03d.example", n), category: categories[k.With(1).Intn(len(categories))], price: lognormal(k.With(2), 0.25)}
	for p := range pagesPerSite {
		site := openrtb2.Site{
			ID: fmt.Sprintf("s%d", n), Name: fmt.Sprintf("Site %d", n), Domain: inv.domain,
			Cat: []string{inv.category}, PageCat: []string{fmt.Sprintf("%s-%d", inv.category, p%4+1)},
			Page: fmt.Sprintf("https://www.%s/section-%d/article-%d", inv.domain, p%3, p), Ref: "https://search.example/",
			Publisher: &openrtb2.Publisher{ID: fmt.Sprintf("p%d", n/3), Domain: inv.domain},
		}
		text, err := json.Marshal(site)
		if err != nil {
			return inv, fmt.Errorf("sim: cannot write site: %w", err)
		}
		inv.pages = append(inv.pages, text)
	}
	return inv, nil
}

func newApp(k dice.Key, n int) (inventory, error) {
	inv := inventory{app: true, domain: fmt.Sprintf("com.example.app%03d", n), category: categories[k.With(1).Intn(len(categories))],
		price: lognormal(k.With(2), 0.25), audio: k.With(3).Chance(0.15)}
	app := openrtb2.App{
		ID: fmt.Sprintf("a%d", n), Name: fmt.Sprintf("App %d", n), Bundle: inv.domain, Ver: "3.1",
		StoreURL: "https://store.example/" + inv.domain, Cat: []string{inv.category},
		Publisher: &openrtb2.Publisher{ID: fmt.Sprintf("q%d", n/2)},
	}
	text, err := json.Marshal(app)
	if err != nil {
		return inv, fmt.Errorf("sim: cannot write app: %w", err)
	}
	inv.pages = [][]byte{text}
	return inv, nil
}

// zipf returns a table of n ranks, in which rank r has weight (r+1)^-s.
func zipf(n int, s float64) dice.Table {
	return dice.NewTable(n, func(i int) float64 { return math.Pow(float64(i+1), -s) })
}
