package profile

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	cldr "golang.org/x/text/language"

	"gavel/internal/iso"
	"gavel/internal/race"
	"gavel/internal/rank/score"
)

// clicked is Sunday, 11 October 2026, 23:30 UTC.
var clicked = time.Date(2026, 10, 11, 23, 30, 0, 0, time.UTC)

func newReader(t testing.TB) *Reader {
	t.Helper()
	r, err := NewReader(map[string][]string{"placement": {"top", "side"}, "keyword": nil})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read makes the profile of names and texts, as values by field.
func read(t testing.TB, r *Reader, texts ...string) map[string]string {
	t.Helper()
	var s Source
	s.Reset(r.Extra(), clicked)
	for i := 0; i < len(texts); i += 2 {
		if _, ok := r.Set(&s, texts[i], texts[i+1]); !ok {
			t.Fatalf("no name %q", texts[i])
		}
	}
	var lower [MaxValue]byte
	p := r.Read(nil, &s, &lower)
	all := map[string]string{}
	for i, f := range p {
		if f.Name != r.Fields()[i] {
			t.Errorf("field %d is %q, want %q", i, f.Name, r.Fields()[i])
		}
		all[f.Name] = f.Value
	}
	return all
}

const (
	iPhone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
	chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/118.0.0.0 Safari/537.36"
)

func TestRead(t *testing.T) {
	r := newReader(t)
	f := func(field, want string, texts ...string) {
		t.Helper()
		if got := read(t, r, texts...)[field]; got != want {
			t.Errorf("%v: %s is %q, want %q", texts, field, got, want)
		}
	}
	f(Device, "mobile", UserAgent, iPhone)
	f(System, "ios", UserAgent, iPhone)
	f(Browser, "safari", UserAgent, iPhone)
	f(Device, "desktop", UserAgent, chrome)
	f(System, "windows", UserAgent, chrome)
	f(Browser, "chrome", UserAgent, chrome)
	f(Browser, "firefox", UserAgent, chrome, Browser, "Firefox") // what the request names takes precedence
	f(System, "windows", UserAgent, chrome, Browser, "Firefox")
	f(Browser, "firefox", Device, "TV", System, "Linux", Browser, "FIREFOX")
	f(Device, Other, Device, "toaster")
	f(Browser, Other, UserAgent, "\xff\x00")
	f(Browser, "", Provider, "x")
	f(Browser, "chrome", UserAgent, chrome+strings.Repeat(" x", MaxText))

	f(Provider, "vodafone de", Provider, " Vodafone DE\t")
	f(Provider, "telekom", Provider, "telekom")
	f(Provider, Other, Provider, strings.Repeat("x", MaxValue+1))
	f(Provider, Other, Provider, "a\x1fb")
	f(Provider, Other, Provider, "a\xffb")
	f(Provider, "ökö", Provider, "ökö")
	f(Provider, "", Provider, "  ")

	f(Country, "DE", Country, "deu")
	f(Country, "GB", Country, "UK")
	f(Country, Other, Country, "XX")
	f(Country, "", Country, "")

	f(Language, "de", Language, "de-AT,en;q=0.8")
	f(Language, "en", Language, "de;q=0.5, en-US ; q=0.75, fr;q=0.7")
	f(Language, "fr", Language, "*;q=0.1,fr;q=0.2")
	f(Language, Other, Language, "*")
	f(Language, Other, Language, "xx")
	f(Language, Other, Language, "deutsch")
	f(Language, "he", Language, "iw-IL")
	f(Language, "en", Language, "de;q=0,en;q=1.000")
	f(Language, "en", Language, "de;q=2,fr;q=1.1,it;q=.5,en;q=0.001")
	f(Language, "pt", Language, "pt_BR")
	f(Language, "", Language, " ")

	f(Hour, "23", Country, "")
	f(Weekday, "sun", Country, "")
	f(Hour, "1", Country, "DE") // Europe/Berlin, summer time
	f(Weekday, "mon", Country, "DE")
	f(Hour, "19", Country, "US") // New York
	f(Hour, "8", Country, "DE", Zone, "Asia/Tokyo")
	f(Hour, "5", Zone, "+0530")
	f(Hour, "20", Zone, "UTC-03:30")
	f(Hour, "23", Zone, "GMT")
	f(Hour, "13", Zone, "+14")
	f(Hour, Other, Zone, "+15")
	f(Hour, Other, Zone, "+1:5")
	f(Hour, Other, Country, "DE", Zone, "Mars/Base")
	f(Hour, Other, Zone, "../etc/passwd")
	f(Hour, Other, Zone, "Local")
	f(Weekday, Other, Zone, "Europe")
	f(Hour, "7", Hour, "07", Weekday, "Tue")
	f(Weekday, "tue", Hour, "7", Weekday, "Tue")
	f(Hour, Other, Hour, "24")
	f(Weekday, "sun", Hour, "7")
	f(Hour, "0", Time, "0")
	f(Weekday, "thu", Time, "0")
	f(Hour, Other, Time, "yesterday")
	f(Hour, Other, Time, "-1")
	f(Hour, "23", Time, "")

	f("placement", "top", "placement", "top")
	f("placement", Other, "placement", "Top")
	f("placement", "", "placement", "")
	f("keyword", "Red Shoes", "keyword", "Red Shoes")
	f("keyword", Other, "keyword", "a\nb")
}

func TestReaderFaults(t *testing.T) {
	f := func(want string, fields map[string][]string) {
		t.Helper()
		_, err := NewReader(fields)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", fields, err, want)
		}
	}
	f("profile.fields.Big: must be", map[string][]string{"Big": nil})
	f("profile.fields.9: must be", map[string][]string{"9": nil})
	f("profile.fields.hour: is a name that every profile has", map[string][]string{"hour": nil})
	f("profile.fields.zone: is a name", map[string][]string{"zone": nil})
	f(`profile.fields.a: value "other" must`, map[string][]string{"a": {"other"}})
	f(`profile.fields.a: value "" must`, map[string][]string{"a": {""}})
	f("use at most 1024", map[string][]string{"a": make([]string, MaxValues+1)})
}

// The list has the languages of ISO 639-1, as CLDR knows them.
func TestLanguages(t *testing.T) {
	if !slices.IsSorted(pairs(languages)) {
		t.Error("the list is not ascending")
	}
	for _, code := range pairs(languages) {
		base, err := cldr.ParseBase(code)
		if err != nil || len(base.String()) != 2 {
			t.Errorf("%s: %v, %v", code, base, err)
		}
	}
}

var allLanguages = pairs(languages)

func pairs(list string) (all []string) {
	for i := 0; i < len(list); i += 2 {
		all = append(all, list[i:i+2])
	}
	return all
}

// checkClosed fails if a value is in no list.
func checkClosed(t *testing.T, p score.Profile, about string) {
	t.Helper()
	for _, f := range p {
		var list []string
		switch f.Name {
		case Device:
			list = Devices
		case System:
			list = Systems
		case Browser:
			list = Browsers
		case Language:
			list = allLanguages
		case Hour:
			list = Hours
		case Weekday:
			list = Weekdays
		case "placement":
			list = []string{"top", "side"}
		case Country:
			if f.Value != "" && f.Value != Other && iso.Alpha2(f.Value) != f.Value {
				t.Fatalf("%q: country %q", about, f.Value)
			}
			continue
		default:
			if len(f.Value) > MaxValue || !utf8.ValidString(f.Value) || strings.ContainsFunc(f.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q: %s is %q", about, f.Name, f.Value)
			}
			continue
		}
		if f.Value != "" && f.Value != Other && !slices.Contains(list, f.Value) {
			t.Fatalf("%q: %s is %q, which is in no list", about, f.Name, f.Value)
		}
	}
}

// mutate changes a text in a way that a broken client or an attacker might.
func mutate(rng *rand.Rand, text string, other string) string {
	b := []byte(text)
	for range 1 + rng.IntN(4) {
		at := rng.IntN(len(b) + 1)
		switch rng.IntN(6) {
		case 0:
			b = b[:at]
		case 1:
			b = slices.Insert(b, at, byte(rng.IntN(256)))
		case 2:
			b = slices.Insert(b, at, []byte(other[:rng.IntN(len(other)+1)])...)
		case 3:
			if at < len(b) {
				b[at] = byte(rng.IntN(256))
			}
		case 4:
			b = slices.Delete(b, at, min(len(b), at+rng.IntN(20)))
		default:
			b = slices.Insert(b, at, b[:min(at, 40)]...)
		}
	}
	return string(b)
}

// typicalAgents has one of each device, of most systems and of most browsers.
var typicalAgents = []string{
	iPhone, chrome, "curl/8.5.0", "",
	"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36",
	"Mozilla/5.0 (Linux; Android 13; SM-X210) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/24.0 Chrome/117.0.0.0 Safari/537.36",
	"Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
	"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
	"Mozilla/5.0 (X11; FreeBSD amd64; rv:124.0) Gecko/20100101 Firefox/124.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36 OPR/109.0.0.0",
	"Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
	"Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/7.0 TV Safari/537.36",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
}

// A hundred thousand user agents, the real ones and mutations of them: no failure, no value out of the lists.
func TestUserAgents(t *testing.T) {
	r := newReader(t)
	texts := slices.Clone(typicalAgents)
	for _, c := range append(realAgents(t, "test_ua.yaml"), realAgents(t, "test_os.yaml")...) {
		texts = append(texts, c.Text)
	}
	total := 100_000
	if race.Enabled {
		total = 10_000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var s Source
	var lower [MaxValue]byte
	var p score.Profile
	seen := map[string]int{}
	for i := range total {
		text := texts[i%len(texts)]
		if i >= len(texts) {
			text = mutate(rng, text, texts[rng.IntN(len(texts))])
		}
		s.Reset(r.Extra(), clicked)
		s.UserAgent = text
		p = r.Read(p, &s, &lower)
		checkClosed(t, p, text)
		for _, f := range p[:3] {
			seen[f.Value]++
		}
	}
	if len(seen) < 15 { // the check would be idle if everything were other
		t.Errorf("only %d values were seen: %v", len(seen), seen)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(iPhone, "Vodafone", "DE", "de-DE,en;q=0.8", "Europe/Berlin", "7", "mon", "1770000000000", "top")
	f.Add("", "", "", ",;q=,", "+02:00", "99", "monday", "x", "\x1f")
	r := newReader(f)
	f.Fuzz(func(t *testing.T, agent, provider, country, language, zone, hour, weekday, at, extra string) {
		var s Source
		s.Reset(r.Extra(), clicked)
		for _, set := range [][2]string{{UserAgent, agent}, {Provider, provider}, {Country, country}, {Language, language},
			{Zone, zone}, {Hour, hour}, {Weekday, weekday}, {Time, at}, {"placement", extra}, {"keyword", extra}} {
			if _, ok := r.Set(&s, set[0], set[1]); !ok {
				t.Fatalf("no name %s", set[0])
			}
		}
		var lower [MaxValue]byte
		checkClosed(t, r.Read(nil, &s, &lower), agent)
		s.Device, s.System, s.Browser = agent, provider, extra
		checkClosed(t, r.Read(nil, &s, &lower), agent)
	})
}

func TestAllocations(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	r := newReader(t)
	p := make(score.Profile, 0, 16)
	var s Source
	var lower [MaxValue]byte
	s.Reset(r.Extra(), clicked)
	s.UserAgent, s.Country, s.Language, s.Zone, s.Provider = iPhone, "DEU", "de-AT,en;q=0.5", "Asia/Tokyo", "Vodafone"
	if n := testing.AllocsPerRun(100, func() { p = r.Read(p, &s, &lower) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkRead(b *testing.B) {
	r := newReader(b)
	var p score.Profile
	var s Source
	var lower [MaxValue]byte
	s.Reset(r.Extra(), clicked)
	s.UserAgent, s.Country, s.Language, s.Zone, s.Provider = iPhone, "DEU", "de-AT,en;q=0.5", "Asia/Tokyo", "Vodafone"
	b.ReportAllocs()
	for b.Loop() {
		p = r.Read(p, &s, &lower)
	}
}
