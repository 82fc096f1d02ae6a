package people

import (
	"testing"
	"time"

	"gavel/internal/exchange/dice"
)

// Every value occurs, in the share that its weight says, and none but the tables'.
func TestDraw(t *testing.T) {
	const n = 20_000
	var seen [Fields]map[string]int
	for f := range seen {
		seen[f] = map[string]int{}
	}
	for i := range n {
		p := Draw(dice.New(1).With(uint64(i)))
		for f := range seen {
			seen[f][p.Text(f, time.Unix(0, 0))]++
		}
	}
	for f := range Hour {
		missing := Sizes[f] - len(seen[f])
		if f == Browser { // that of televisions is other
			missing++
		}
		if missing != 1 || seen[f][other] > 0 && f != Browser {
			t.Errorf("%s: the values %v occur, want all %d but other", Names[f], seen[f], Sizes[f])
		}
	}
	if mobile := float64(seen[Device]["mobile"]) / n; mobile < 0.46 || mobile > 0.52 { // 51 of 104
		t.Errorf("%.3f of people are mobile, want 0.49", mobile)
	}
}

func TestOf(t *testing.T) {
	at := time.Date(2026, 5, 4, 22, 0, 0, 0, time.UTC)
	p := Of(dice.New(1), agents[2].text, "DEU", 120)
	for f, want := range map[int]string{Device: "mobile", System: "ios", Browser: "safari", Country: "DE", Hour: "0"} {
		if got := p.Text(f, at); got != want {
			t.Errorf("%s is %q, want %q", Names[f], got, want)
		}
	}
	if p.Zone() != "+02:00" {
		t.Errorf("the zone is %s", p.Zone())
	}
	p = Of(dice.New(1), "curl/8", "ATA", -210)
	if p.Text(Device, at) != other || p.Text(Country, at) != other || p.Zone() != "-03:30" {
		t.Errorf("an unknown person has the device %q, the country %q, the zone %s", p.Text(Device, at), p.Text(Country, at), p.Zone())
	}
}
