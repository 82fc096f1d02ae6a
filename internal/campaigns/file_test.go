package campaigns

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
)

// good is a file with one campaign; tests edit it.
const good = `currency: USD
campaigns:
  - id: shoes
    advertiser: Stride
    domain: stride.example
    categories: [IAB18-1]
    daily_budget: 2500.5
    schedule: {start: 2026-01-01, end: 2026-02-01T12:00:00+02:00}
    goal: {cpc: 0.45}
    targeting:
      countries: [US]
      hours: ["mon,wed-thu 8-10", "sun 23-24"]
    creatives:
      - id: box
        kind: banner
        size: 300x250
        markup: <a href="${CLICK_URL}">shoes</a>
        click_url: https://stride.example/
`

func TestLoadsEveryKey(t *testing.T) {
	set, err := parse("c.yaml", []byte(good), auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := auction.Campaign{
		ID: "shoes", Advertiser: "Stride", Domain: "stride.example", Categories: []string{"IAB18-1"},
		DailyBudget: 2_500_500_000, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		End:  time.Date(2026, 2, 1, 10, 0, 0, 0, time.UTC),
		Goal: auction.Goal{Kind: auction.CPC, Value: 450_000},
		Targeting: auction.Targeting{
			Countries:   []string{"US"},
			HoursOfWeek: []int{8, 9, 2*24 + 8, 2*24 + 9, 3*24 + 8, 3*24 + 9, 6*24 + 23},
		},
		Creatives: []auction.Creative{{
			ID: "box", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250},
			Markup: `<a href="${CLICK_URL}">shoes</a>`, ClickURL: "https://stride.example/",
		}},
	}
	got := *set.All()[0]
	got.Start, got.End = got.Start.UTC(), got.End.UTC()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestFaultsNameTheirPlace(t *testing.T) {
	f := func(name string, edit []string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			set, err := parse("c.yaml", []byte(strings.NewReplacer(edit...).Replace(good)), auction.SetOptions{})
			if err == nil {
				t.Fatalf("expected an error, got a set of %d", set.Len())
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(want) {
				t.Errorf("%d faults, want %d:\n%v", lines, len(want), err)
			}
		})
	}
	f("an unknown key", []string{"advertiser:", "advertizer:"}, "c.yaml: line 4: field advertizer not found")
	f("values that cannot be read, all at once", []string{"2500.5", "-3", "300x250", "300*250", "sun 23-24", "sun 23-25"},
		`line 7: "-3" is not an amount of money`, `line 12: "sun 23-25" are not hours`, `line 16: "300*250" is not a size`)
	f("rules, all at once", []string{"[US]", "[us]", "stride.example\n", "https://stride.example\n", "kind: banner", "kind: poster"},
		`line 5: campaigns[0] (shoes): domain: "https://stride.example" is not a domain`,
		`line 11: campaigns[0] (shoes): targeting.countries[0]: "us" is not a country`,
		`line 15: campaigns[0] (shoes): creatives[0].kind: "poster" is not a kind`)
	f("two goals", []string{"{cpc: 0.45}", "{cpc: 0.45, cpm: 1}"}, "line 9: campaigns[0] (shoes): goal: has 2 of the keys")
	f("no goal", []string{"    goal: {cpc: 0.45}\n", ""}, "line 3: campaigns[0] (shoes): goal: has 0 of the keys")
	f("a price finer than money", []string{"{cpc: 0.45}", "{cpm: 1.2345}"}, "line 9: campaigns[0] (shoes): goal: cpm has more than three")
	f("two documents", []string{"currency: USD\n", "currency: USD\n---\n"}, "more than one YAML document")
	f("a bad currency", []string{"currency: USD", "currency: dollars"}, `c.yaml: auction: currency "dollars"`)
	f("no campaigns", []string{good, "currency: USD\n"}, "c.yaml: campaigns: is empty")
	f("an empty file", []string{good, ""}, "c.yaml: campaigns: is empty")
	f("a second campaign of the same id", []string{good, good + strings.TrimPrefix(good, "currency: USD\ncampaigns:\n")},
		"line 19: campaigns[1] (shoes): id: is also the id of campaigns[0]")
}

// Bids are in the bidder's currency. Amounts of a file in another currency would be used as if they were in the bidder's.
func TestCurrencyIsTheBidders(t *testing.T) {
	f := func(file, bidder, want string) {
		t.Helper()
		data := strings.Replace(good, "currency: USD\n", file, 1)
		set, err := parse("c.yaml", []byte(data), auction.SetOptions{Currency: bidder})
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "auction.currency")):
			t.Errorf("file %q, bidder %q: got error %v, want one that names auction.currency", file, bidder, err)
		case want != "" && (err != nil || set.Currency() != want):
			t.Errorf("file %q, bidder %q: got error %v", file, bidder, err)
		}
	}
	f("currency: EUR\n", "EUR", "EUR")
	f("", "EUR", "EUR")
	f("currency: EUR\n", "", "EUR")
	f("", "", "USD")
	f("currency: EUR\n", "USD", "")
	f("currency: USD\n", "EUR", "")
}

// A campaign may name models of its own, among those that the bidder serves.
func TestModels(t *testing.T) {
	data := strings.Replace(good, "    goal: {cpc: 0.45}\n", "    goal: {cpc: 0.45}\n    models: {click: shoes, conversion: crv}\n", 1)
	set, err := parse("c.yaml", []byte(data), auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := set.All()[0].Models, (auction.CampaignModels{Click: "shoes", Conversion: "crv"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_, err = parse("c.yaml", []byte(data), auction.SetOptions{Models: []string{"ctr", "shoes"}})
	want := `c.yaml: line 10: campaigns[0] (shoes): models.conversion: names the model "crv", which the bidder does not serve`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

func TestMoney(t *testing.T) {
	f := func(in string, want auction.Micros, ok bool) {
		t.Helper()
		set, err := parse("c.yaml", []byte(strings.Replace(good, "2500.5", in, 1)), auction.SetOptions{})
		if (err == nil) != ok {
			t.Errorf("%s: error %v, want ok %v", in, err, ok)
		} else if ok && set.All()[0].DailyBudget != want {
			t.Errorf("%s: got %d micros, want %d", in, set.All()[0].DailyBudget, want)
		}
	}
	f("1", 1_000_000, true)
	f("0.000001", 1, true)
	f("19999999.999999", 19_999_999_999_999, true)
	f("0.0000001", 0, false)
	f("1e3", 0, false)
	f("0", 0, false)
	f(".5", 0, false)
	f("1,000", 0, false)
	f("[1]", 0, false)
	f("9999999999999", 0, false)
}

func TestTheExampleFile(t *testing.T) {
	set, err := Load("../../configs/campaigns.yaml", auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() < 20 {
		t.Errorf("%d campaigns", set.Len())
	}
	// With 5 % clicks and 5 % conversions, a thousand impressions of each example campaign are worth 1 to 6.
	for _, c := range set.All() {
		value := auction.Value(c.Goal, auction.Prediction{Click: 0.05, Conversion: 0.05})
		if cpm := value.CPM(); cpm < 0.99 || cpm > 6.01 {
			t.Errorf("%s: a thousand impressions are worth %.2f", c.ID, cpm)
		}
		for _, cr := range c.Creatives {
			if !strings.Contains(cr.Markup, "${CLICK_URL}") || !strings.Contains(cr.Markup, "${IMPRESSION_URL}") {
				t.Errorf("%s: creative %s lacks a macro", c.ID, cr.ID)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("campaigns: [{id: a, goal: {cpm: 1}, targeting: {hours: [all 0-24]}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parse("c.yaml", data, auction.SetOptions{})
		if (set == nil) == (err == nil) {
			t.Fatal("exactly one of set and error is wanted")
		}
	})
}
