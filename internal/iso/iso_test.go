package iso

import (
	"testing"

	"golang.org/x/text/language"
)

func TestAlpha2(t *testing.T) {
	f := func(code, want string) {
		t.Helper()
		if got := Alpha2(code); got != want {
			t.Errorf("Alpha2(%q) = %q, want %q", code, got, want)
		}
	}
	f("USA", "US")
	f("usa", "US")
	f("us", "US")
	f("CA", "CA")
	f("DEU", "DE")
	f("CHE", "CH")
	f("UK", "GB")
	f("el", "GR")
	f("", "")
	f("U", "")
	f("XX", "")
	f("XYZ", "")
	f("U1", "")
	f("12", "")
	f("United States", "")
	f("Ü", "") // two bytes, no letters
}

// Every pair of the table agrees with CLDR's and converts both ways.
func TestTableAgreesWithCLDR(t *testing.T) {
	if len(table) != 249*5 {
		t.Fatalf("table holds %d countries, want 249", len(table)/5)
	}
	for i := 0; i < len(table); i += 5 {
		three, two := table[i:i+3], table[i+3:i+5]
		region, err := language.ParseRegion(three)
		if err != nil || region.String() != two {
			t.Errorf("%s is %s in the table, %v in CLDR (%v)", three, two, region, err)
		}
		if Alpha2(three) != two || Alpha2(two) != two || Alpha3(two) != three {
			t.Errorf("%s and %s do not map to each other", three, two)
		}
	}
}

func TestAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Alpha2("USA"); Alpha2("us"); Alpha3("DE") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
