package privacy

import (
	"strings"
	"testing"
)

// bitsOf reads a text of 0 and 1 as base64url, filled with zeros.
func bitsOf(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var out strings.Builder
	for len(text)%6 != 0 {
		text += "0"
	}
	for i := 0; i < len(text); i += 6 {
		v := 0
		for _, c := range text[i : i+6] {
			v = v<<1 | int(c-'0')
		}
		out.WriteByte(alphabet[v])
	}
	return out.String()
}

func TestBits(t *testing.T) {
	b := newBits(bitsOf("0000111011011111111101"))
	for i, f := range []struct{ n, want int }{{6, 3}, {1, 1}, {4, 0b0110}, {9, 0b111111111}, {2, 1}} {
		if got := b.take(f.n); got != f.want || b.bad {
			t.Errorf("field %d: %b, want %b", i, got, f.want)
		}
	}
	b.skip(2) // the filling
	if b.bad {
		t.Error("the end is bad")
	}
	if b.take(1); !b.bad {
		t.Error("read past the end")
	}
	for text, want := range map[string]int{"11": 1, "011": 2, "0011": 3, "1011": 4, "00011": 5, "10011": 6, "01011": 7, "000011": 8, "00000011": 21} {
		b := newBits(bitsOf(text))
		if got := b.fibonacci(); got != want || b.bad {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
	for _, text := range []string{"", "A!", "A A", "A+", "é"} {
		b := newBits(text)
		if b.take(12); !b.bad {
			t.Errorf("%q was read", text)
		}
	}
	if b := newBits("BA=="); b.take(12) != 1<<6 || b.bad {
		t.Error("padding was read")
	}
}

// The examples of the Global Privacy Platform's specification.
func TestHeadersOfTheSpecification(t *testing.T) {
	f := func(text string, sections []int, want platform) {
		t.Helper()
		if got := readGPP(text, sections); got != want {
			t.Errorf("%s %v: %+v, want %+v", text, sections, got, want)
		}
	}
	f("DBABM~TC", nil, platform{tc: "TC"})
	f("DBABM~TC", []int{2}, platform{tc: "TC", tcApplies: true})
	f("DBACNY~TC~1YNN", []int{6}, platform{state: state{}, states: true})
	f("DBACNY~TC~1YYN", []int{2, 6}, platform{tc: "TC", tcApplies: true, state: state{optedOut: true}, states: true})
	f("DBABjw~CA~1YNN", []int{6}, platform{states: true})
	f("DBABjw~CA~1YNN", []int{5, 6}, platform{states: true, unreadable: true}) // Canada's is not read
	f("DBABjw~CA~1YNN", []int{-1}, platform{notApplicable: true})
	f("DBABjw~CA~1YNN", []int{0}, platform{states: true, unreadable: true})
	f("DBABM", []int{2}, platform{tcApplies: true, unreadable: true})              // a section is missing
	f("DBABM~a~b", []int{2}, platform{tc: "a", tcApplies: true, unreadable: true}) // one too many
	f("DBACNY~TC~1YNN", []int{7}, platform{unreadable: true})
	f("", []int{7}, platform{unreadable: true})
	f("", nil, platform{})
	f("garbage", nil, platform{unreadable: true})
	f("DCABM~TC", nil, platform{unreadable: true}) // version 2
	f("~~~~", nil, platform{unreadable: true})
}

func TestUSPrivacy(t *testing.T) {
	for text, want := range map[string]usPrivacy{
		"1YNN": usAllowed, "1NNN": usAllowed, "1YNY": usAllowed, "1ynn": usAllowed, "1-N-": usAllowed,
		"1YYN": usOptedOut, "1YYY": usOptedOut, "1NYN": usOptedOut, "1yyn": usOptedOut, "1-Y-": usOptedOut,
		"1---": usNotApplicable,
		"":     usUnreadable, "1YY": usUnreadable, "2YNN": usUnreadable, "1YNNN": usUnreadable, "1YXN": usUnreadable, "1Y-N": usUnreadable,
		" 1YNN": usUnreadable, "1YN\x00": usUnreadable,
	} {
		if got := readUSPrivacy(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
