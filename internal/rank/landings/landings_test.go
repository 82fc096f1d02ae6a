package landings

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	s, err := Parse("c.yaml", []byte(`campaigns:
  - {id: shoes, landing: "https://shop.example/shoes?c=${TOKEN}&x=1#top", value: 12.5}
  - {id: boots, landing: "http://shop.example", value: 8, active: true}
  - {id: old, landing: "https://shop.example/old", value: 1, active: false}
  - {id: hats, landing: "https://shop.example/hats?a=b#c", value: 1e-3}
  - {id: caps, landing: "https://shop.example/caps?", value: 2}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.IDs, " "); got != "boots caps hats shoes" || s.Inactive() != 1 || s.Len() != 4 {
		t.Fatalf("campaigns %s, %d inactive", got, s.Inactive())
	}
	f := func(id string, value float64, page string) {
		t.Helper()
		place, ok := s.Place(id)
		if !ok || s.IDs[place] != id || s.Values[place] != value {
			t.Fatalf("%s is at %d with value %v", id, place, s.Values[place])
		}
		if got := string(s.AppendPage(nil, place, "T-_1")); got != page {
			t.Errorf("%s: %s, want %s", id, got, page)
		}
	}
	f("shoes", 12.5, "https://shop.example/shoes?c=T-_1&x=1#top")
	f("boots", 8, "http://shop.example?gavel_click=T-_1")
	f("hats", 0.001, "https://shop.example/hats?a=b&gavel_click=T-_1#c")
	f("caps", 2, "https://shop.example/caps?gavel_click=T-_1")
	if _, ok := s.Place("old"); ok {
		t.Error("an inactive campaign has a place")
	}
}

// A campaign names one of the ranker's models, and must if there are several.
func TestModels(t *testing.T) {
	campaigns := func(models ...string) (text string) {
		text = "campaigns:\n"
		for i, model := range models {
			text += fmt.Sprintf("  - {id: c%d, value: 1, landing: 'https://x.example'", i)
			if model != "" {
				text += ", model: " + model
			}
			text += "}\n"
		}
		return text
	}
	f := func(known []string, text string, want []int32, fault string) {
		t.Helper()
		s, err := Parser(known)("c.yaml", []byte(text))
		switch {
		case fault != "":
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: %v, want %q", text, err, fault)
			}
		case err != nil:
			t.Error(err)
		case !slices.Equal(s.Models, want):
			t.Errorf("%s: models %v, want %v", text, s.Models, want)
		}
	}
	f([]string{"a"}, campaigns("", "a"), []int32{0, 0}, "")
	f([]string{"a", "b"}, campaigns("b", "a", "b"), []int32{1, 0, 1}, "")
	f([]string{"a", "b"}, campaigns("b", ""), nil, `line 3: campaign "c1": model: is missing; name one of ["a" "b"]`)
	f([]string{"a"}, campaigns("b"), nil, `model: "b" is none of ["a"]`)
	if s, err := Parse("c.yaml", []byte(campaigns("b", ""))); err != nil || !slices.Equal(s.Models, []int32{0, 0}) {
		t.Error(err) // whoever does not score
	}
}

func TestFaults(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		_, err := Parse("c.yaml", []byte("campaigns:\n"+line))
		if err == nil {
			t.Errorf("%s: no fault", line)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: no %q in\n%v", line, w, err)
			}
		}
	}
	page := func(landing string) string { return `  - {id: a, value: 1, landing: "` + landing + "\"}\n" }
	f("  []", "list at least one")
	f("  - {id: a}\n", "c.yaml: line 2: campaign \"a\": value: is missing", "landing: must be an http or https URL")
	f(page("https://x.example")+page("https://x.example"), `line 3: campaign "a": is on line 2 already`)
	f("  - {id: a, landing: 'https://x.example', value: 0}\n", `line 2: value: "0" is not what a sale is worth`)
	f("  - {id: a, landing: 'https://x.example', value: .nan}\n", "value")
	f("  - {id: a, landing: 'https://x.example', value: 1, activ: no}\n", `"activ" is no key of a campaign`)
	f("  - {id: '', landing: 'https://x.example', value: 1}\n", "id: must be 1 to 64 bytes")
	f("  - text\n", "a campaign must be a map")
	f("  - {id: [], landing: 'https://x.example', value: 1}\n", "cannot unmarshal")
	f(page("ftp://x.example"), "is not an http or https URL")
	f(page("javascript:alert(1)"), "is not an http or https URL")
	f(page("//x.example"), "is not an http or https URL")
	f(page("https://"), "is not an http or https URL")
	f(page("https://user@x.example"), "has a user name")
	f(page("https://${TOKEN}.example/"), "has the macro ${TOKEN} in its host")
	f(page("https://x.example/${TOKEN}/${TOKEN}"), "twice")
	f(page("https://x.example/${CLICK_ID}"), "another macro")
	f(page(`https://x.example/\r\nSet-Cookie:a`), "percent-encoded")
	f(page("https://x.example/a b"), "percent-encoded")
	f(page("https://x.example/ä"), "percent-encoded")
	f(page("https://x.example/"+strings.Repeat("a", maxPage)), "at most 1024 bytes")
}

// Whatever a page that passes looks like, a token changes neither its scheme nor its host, and the result has no line break.
func FuzzPage(f *testing.F) {
	for _, s := range []string{"https://shop.example/?c=${TOKEN}", "http://a.b#${TOKEN}", "https://x.example:8/a?b#c", "https://x.example/%0d%0a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if pageFault(text) != "" {
			return
		}
		p := split(text)
		got := p.before + "AAAA" + p.after
		want, err := url.Parse(strings.Replace(text, Token, "AAAA", 1))
		if err != nil {
			t.Fatalf("%q passes: %v", text, err)
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != want.Scheme || u.Host != want.Host {
			t.Fatalf("%q becomes %q: %v", text, got, err)
		}
		if strings.ContainsAny(got, "\r\n \x00") || !strings.Contains(got, "AAAA") {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}
