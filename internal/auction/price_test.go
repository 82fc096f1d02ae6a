package auction

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestValue(t *testing.T) {
	f := func(g Goal, click, conversion float64, want Micros) {
		t.Helper()
		if got := Value(g, Prediction{Click: float32(click), Conversion: float32(conversion)}); got != want {
			t.Errorf("%v at %v, %v: got %d, want %d", g, click, conversion, got, want)
		}
	}
	f(Goal{CPM, 2500}, 0, 0, 2500)
	f(Goal{CPC, 400_000}, 0.0625, 0, 25_000)
	f(Goal{CPA, 10_000_000}, 0.0625, 0.5, 312_500)
	f(Goal{CPC, 3}, 0.5, 0, 1) // rounded down
	f(Goal{CPC, 1000}, math.NaN(), 0, 0)
	f(Goal{CPC, 1000}, -1, 0, 0)
	f(Goal{CPC, 1000}, math.Inf(1), 0, 1000)
	f(Goal{"cpx", 1000}, 1, 1, 0)
}

func TestPrice(t *testing.T) {
	f := func(name string, bidders float64, value, floor Micros, at int, want Micros, ok bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := Shading{Bidders: bidders}
			if err := s.fill(); err != nil {
				t.Fatal(err)
			}
			if got, gotOK := s.Price(value, floor, at); got != want || gotOK != ok {
				t.Errorf("got %d %v, want %d %v", got, gotOK, want, ok)
			}
		})
	}
	f("second price is the truth", 0, 5000, 1000, SecondPrice, 5000, true)
	f("first price without a floor: four fifths", 0, 5000, 0, FirstPrice, 4000, true)
	f("two bidders: half", 2, 5000, 0, FirstPrice, 2500, true)
	f("two bidders, floor at half: v/2 + r²/2v", 2, 5000, 2500, FirstPrice, 3125, true)
	f("a floor at the value", 0, 5000, 5000, FirstPrice, 5000, true)
	f("alone: the floor", 1, 5000, 700, FirstPrice, 700, true)
	f("below the floor", 0, 999, 1000, SecondPrice, 0, false)
	f("fixed price", 0, 5000, 1000, FixedPrice, 1000, true)
	f("fixed price, worth less", 0, 999, 1000, FixedPrice, 0, false)
	f("worth nothing", 0, 0, 0, SecondPrice, 0, false)
	f("one micro", 0, 1, 0, FirstPrice, 1, true)

	if _, err := NewAuctioneer(AuctioneerOptions{Scorer: flat(0), Budget: new(Ledger), Shading: Shading{Bidders: 0.5}}); err == nil {
		t.Error("half a bidder: no error")
	}
}

// TestPriceBounds: for any input, a bid lies between floor and value, and never falls as the value rises.
func TestPriceBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200_000 {
		s := Shading{Bidders: 1 + rng.ExpFloat64()*5}
		value, floor, at := Micros(rng.Int64N(1<<rng.IntN(40)+1)), Micros(rng.Int64N(1<<rng.IntN(30)+1)), rng.IntN(5)
		got, ok := s.Price(value, floor, at)
		if ok != (value >= max(floor, 1)) || ok && (got < max(floor, 1) || got > value) {
			t.Fatalf("value %d floor %d at %d: %d %v", value, floor, at, got, ok)
		}
		if more, _ := s.Price(value+1, floor, at); more < got {
			t.Fatalf("value %d floor %d at %d: %d, but %d for one micro more", value, floor, at, got, more)
		}
	}
}

func TestMoneyCrossings(t *testing.T) {
	f := func(cpm float64, want Micros, ok bool) {
		t.Helper()
		if got, gotOK := MicrosFromCPM(cpm); got != want || gotOK != ok {
			t.Errorf("%v: got %d %v, want %d %v", cpm, got, gotOK, want, ok)
		}
	}
	f(2.5, 2500, true)
	f(0.0004, 0, true)
	f(0.0005, 1, true)
	f(-1, -1000, true)
	f(math.NaN(), 0, false)
	f(math.Inf(1), 0, false)
	f(1e300, 0, false)
	if got := Micros(-1_250_000).String(); got != "-1.250000" {
		t.Errorf("String: %s", got)
	}
	if got := Micros(2500).CPM(); got != 2.5 {
		t.Errorf("CPM: %v", got)
	}
}
