package people

import "gavel/internal/exchange/dice"

const other = "other"

// foreign is the share of people whose browser speaks another language than their country.
const foreign = 0.15

var (
	devices   = []string{other, "desktop", "mobile", "tablet", "tv"}
	systems   = []string{other, "android", "chromeos", "ios", "linux", "macos", "windows"}
	browsers  = []string{other, "chrome", "edge", "firefox", "opera", "safari", "samsung"}
	providers = []string{other, "alpha-net", "beta-mobile", "cable-one", "delta", "east-link", "fiber", "global-cell", "home-net", "inet",
		"jet-mobile", "kilo", "lima-tel", "metro", "north", "orbit", "planet", "quick", "rural", "star", "tele"}
	countries = []string{other, "US", "GB", "DE", "FR", "CA", "JP", "BR", "IN", "ES", "IT", "AU", "MX", "PL", "NL", "SE"}
	languages = []string{other, "en", "de", "fr", "ja", "pt", "es", "it", "pl", "nl", "sv", "hi"}
)

// agent is a user agent, and what a ranker reads of it.
type agent struct {
	device, system, browser string
	weight                  float64
	text                    string
}

// agents has those of the simulated traffic (package sim) and more.
var agents = []agent{
	{"desktop", "windows", "chrome", 18, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"},
	{"desktop", "macos", "safari", 8, "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15"},
	{"mobile", "ios", "safari", 20, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"},
	{"mobile", "android", "chrome", 12, "Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36"},
	{"mobile", "android", "chrome", 8, "Mozilla/5.0 (Linux; Android 13; 23021RAA2Y) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Mobile Safari/537.36"},
	{"tablet", "ios", "safari", 5, "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"},
	{"mobile", "android", "chrome", 3, "Mozilla/5.0 (Linux; Android 13; SM-X210) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36"},
	{"tv", "linux", other, 4, "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/7.0 TV Safari/537.36"},
	{"desktop", "windows", "edge", 7, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0"},
	{"desktop", "windows", "firefox", 5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:125.0) Gecko/20100101 Firefox/125.0"},
	{"desktop", "linux", "firefox", 2, "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0"},
	{"desktop", "macos", "chrome", 3, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"},
	{"desktop", "chromeos", "chrome", 1, "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"},
	{"mobile", "android", "samsung", 4, "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/21.0 Chrome/110.0.5481.154 Mobile Safari/537.36"},
	{"mobile", "android", "firefox", 2, "Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0"},
	{"mobile", "android", "opera", 2, "Mozilla/5.0 (Linux; Android 13; SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Mobile Safari/537.36 OPR/81.1.4292.78446"},
}

// home is a country, in the order of countries from its second.
type home struct {
	language string
	offset   int // minutes east of UTC
	weight   float64
}

var homes = []home{
	{"en", -300, 24}, {"en", 0, 9}, {"de", 60, 9}, {"fr", 60, 7}, {"en", -300, 6}, {"ja", 540, 6}, {"pt", -180, 6}, {"hi", 330, 8},
	{"es", 60, 4}, {"it", 60, 4}, {"en", 600, 3}, {"es", -360, 3}, {"pl", 60, 3}, {"nl", 60, 3}, {"sv", 60, 2},
}

var (
	agentRank    = dice.NewTable(len(agents), func(i int) float64 { return agents[i].weight })
	countryRank  = dice.NewTable(len(homes), func(i int) float64 { return homes[i].weight })
	providerRank = dice.NewTable(len(providers)-1, func(i int) float64 { return 1 / float64(i+1) })
)
