package features

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gavel/internal/auction"
)

var anyText = rapid.OneOf(rapid.Just(""), rapid.SampledFrom([]string{"US", "usa", "a", "www.example.co.uk", "14.2", "|", " x "}), rapid.String())

func anyRequest(t *rapid.T) (*auction.Request, *auction.Candidate) {
	s := func(label string) string { return anyText.Draw(t, label) }
	n := func(label string) int { return rapid.IntRange(-3, 2000).Draw(t, label) }
	b := func(label string) bool { return rapid.Bool().Draw(t, label) }
	list := func(label string) []string { return rapid.SliceOfN(anyText, 0, 8).Draw(t, label) }
	req := &auction.Request{Exchange: s("exchange"), Type: n("type"),
		Inventory: auction.Inventory{Kind: auction.InventoryKind(s("kind")), ID: s("id"), Name: s("name"), Domain: s("domain"), Bundle: s("bundle"),
			Page: s("page"), Publisher: s("publisher"), Categories: list("categories"), Language: s("language"), Keywords: list("keywords")},
		Device: auction.Device{UserAgent: s("ua"), Type: n("device type"), OS: s("os"), OSVersion: s("osv"), Make: s("make"), Model: s("model"),
			Language: s("device language"), Carrier: s("carrier"), Connection: n("connection"), W: n("w"), H: n("h"), LimitAds: b("limit"),
			Geo: auction.Geo{Country: s("country"), Region: s("region"), City: s("city"), Zip: s("zip"), Metro: s("metro"), UTCOffset: n("offset"), HasOffset: b("has offset")}},
		User:    auction.User{ID: s("user"), BuyerUID: s("buyer"), YearOfBirth: n("yob"), Gender: s("gender"), Keywords: list("user keywords")},
		Privacy: auction.Privacy{GDPR: b("gdpr"), COPPA: b("coppa")},
	}
	if b("has time") {
		req.Received = time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "received"))
	}
	for range rapid.IntRange(0, 4).Draw(t, "segments") {
		req.User.Segments = append(req.User.Segments, auction.Segment{Data: rapid.SampledFrom([]string{"d", "e"}).Draw(t, "data"), Value: s("value")})
	}
	imp := auction.Impression{TagID: s("tag"), Position: n("position"), Floor: auction.Micros(n("floor")), FloorCurrency: s("currency"), Secure: b("secure")}
	if b("banner") {
		imp.Banner = &auction.Banner{Sizes: []auction.Size{{W: n("bw"), H: n("bh")}}}
	}
	if b("video") {
		imp.Video = &auction.Video{Size: auction.Size{W: n("vw"), H: n("vh")}, Placement: n("placement")}
	}
	req.Impressions = []auction.Impression{imp}
	cand := &auction.Candidate{Floor: auction.Micros(n("candidate floor")),
		Campaign: &auction.Campaign{ID: s("campaign"), Advertiser: s("advertiser"), Domain: s("adomain"), Categories: list("cats"), Seat: s("seat")},
		Creative: &auction.Creative{ID: s("creative"), Kind: auction.CreativeKind(s("creative kind")), MIME: s("mime"), Attributes: []int{n("attribute")}}}
	if b("deal") {
		cand.Deal = &auction.Deal{ID: s("deal id"), Type: n("deal type")}
	}
	return req, cand
}

// anySpec draws features over every source, with transforms, slots and crosses.
func anySpec(t *rapid.T) []Feature {
	var spec []Feature
	for i := range rapid.IntRange(1, 12).Draw(t, "features") {
		src := sources[rapid.IntRange(0, len(sources)-1).Draw(t, "source")]
		f := Feature{Name: fmt.Sprintf("f%d", i), Source: strings.Replace(src.name, "<data>", "d", 1), Encoder: HashEncoder}
		if i >= 2 && rapid.IntRange(0, 3).Draw(t, "cross") == 0 {
			f.Source, f.Transform = "", CrossTransform
			for range rapid.IntRange(2, 3).Draw(t, "parts") {
				f.Of = append(f.Of, fmt.Sprintf("f%d", rapid.IntRange(0, i-1).Draw(t, "part")))
			}
			f.Slots = rapid.IntRange(1, 4).Draw(t, "cross slots")
		} else {
			if src.list != nil {
				f.Slots = rapid.IntRange(0, 4).Draw(t, "slots")
			}
			f.Transform = rapid.SampledFrom([]string{"", "lower", "domain", "os_major", "country_alpha2", "log_bucket"}).Draw(t, "transform")
			switch {
			case src.name == "request.time":
				f.Transform = rapid.SampledFrom([]string{"hour_of_week", "hour_of_day"}).Draw(t, "hour")
			case src.number != nil && f.Transform != "log_bucket":
				f.Transform = ""
			}
		}
		if f.Transform == "" && rapid.Bool().Draw(t, "vocabulary") {
			f.Encoder, f.Values = VocabularyEncoder, Values{"a", "b", "1"}
		} else {
			f.Buckets = rapid.IntRange(1, 50).Draw(t, "buckets")
		}
		spec = append(spec, f)
	}
	return spec
}

// TestRowsAreInRange is the contract with the model's table: a slot holds an index of its own feature or 0; the slots
// that hold 0 come last; a cross is missing if and only if one of its parts is.
func TestRowsAreInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := anySpec(t)
		e, err := NewEncoder(spec)
		if err != nil {
			t.Fatal(err)
		}
		req, cand := anyRequest(t)
		row := make([]int32, e.RowLen())
		e.Encode(req, cand, row)
		missing := map[string]bool{}
		for i, c := range e.Columns() {
			if row[i] != 0 && (row[i] < c.Low || row[i] >= c.High) || c.High > int32(e.TableRows()) {
				t.Fatalf("%s: index %d is not in [%d, %d) of %d", c.Feature, row[i], c.Low, c.High, e.TableRows())
			}
			first := i == 0 || e.Columns()[i-1].Feature != c.Feature
			if first {
				missing[c.Feature] = row[i] == 0
			} else if row[i] != 0 && row[i-1] == 0 {
				t.Fatalf("%s: a value behind an empty slot: %v", c.Feature, row)
			}
		}
		for _, f := range spec {
			if f.Transform == CrossTransform {
				part := slices.ContainsFunc(f.Of, func(name string) bool { return missing[name] })
				if missing[f.Name] != part {
					t.Fatalf("%s of %v: missing %v, a part missing %v", f.Name, f.Of, missing[f.Name], part)
				}
			}
		}
		again := make([]int32, e.RowLen())
		if e.Encode(req, cand, again); !equal(row, again) {
			t.Fatalf("the same request gave %v, then %v", row, again)
		}
	})
}

// TestMissingIffEmpty: a plain text feature is missing if and only if its text is empty.
func TestMissingIffEmpty(t *testing.T) {
	e := mustEncoder(t, []Feature{{Name: "a", Source: "device.os", Encoder: HashEncoder, Buckets: 7},
		{Name: "b", Source: "device.os", Encoder: VocabularyEncoder, Values: Values{"x"}}})
	rapid.Check(t, func(t *rapid.T) {
		os := anyText.Draw(t, "os")
		row := make([]int32, 2)
		e.Encode(&auction.Request{Device: auction.Device{OS: os}}, &auction.Candidate{}, row)
		if (row[0] == 0) != (os == "") || (row[1] == 0) != (os == "") {
			t.Fatalf("%q: %v", os, row)
		}
	})
}

func TestIdempotentTransforms(t *testing.T) {
	for i := range transforms {
		tr := &transforms[i]
		if !tr.idempotent {
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			in := rapid.OneOf(anyText, rapid.StringMatching(`[a-zA-Z0-9 .:/@\[\]-]{0,20}`)).Draw(t, "in")
			var buf []byte
			once, ok := tr.text(in, &buf)
			once = strings.Clone(once)
			if twice, ok2 := tr.text(once, &buf); ok && once != "" && (!ok2 || twice != once) {
				t.Fatalf("%s(%q) = %q, and of that %q", tr.name, in, once, twice)
			}
		})
	}
}

// FuzzEncodeValues: no raw text crashes the encoder, gives an index out of range, or passes a transform that refuses it.
func FuzzEncodeValues(f *testing.F) {
	e := mustEncoder(f, wide())
	n := len(e.RawColumns())
	f.Add("US", "IAB1|IAB2|IAB3|IAB4", "250")
	f.Add("", "|||", "-1e400")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		values := make([]string, n)
		for i := range values {
			values[i] = [...]string{a, b, c}[i%3]
		}
		row := make([]int32, e.RowLen())
		if err := e.EncodeValues(values, row); err != nil {
			return
		}
		for i, col := range e.Columns() {
			if row[i] != 0 && (row[i] < col.Low || row[i] >= col.High) {
				t.Fatalf("%s: index %d is not in [%d, %d)", col.Feature, row[i], col.Low, col.High)
			}
		}
	})
}
