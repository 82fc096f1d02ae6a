package privacy

import "testing"

func TestBare(t *testing.T) {
	for address, want := range map[string]string{
		"": "", "a": "a", "/": "/", "?": "", "#x": "", "://": "://", "http://": "http://", "@": "", "a@b": "b", "x://@": "",
		"https://site.example/a/b":                "https://site.example/a/b",
		"https://site.example/a?uid=1":            "https://site.example/a",
		"https://site.example/a#uid=1":            "https://site.example/a",
		"https://site.example/a;jsessionid=1?x=2": "https://site.example/a",
		"https://me:secret@site.example/a@b":      "site.example/a@b",
		"https://site.example/@me":                "https://site.example/@me",
		"site.example/a?u=1":                      "site.example/a",
		"//site.example/a":                        "//site.example/a",
	} {
		if got := bare(address); got != want {
			t.Errorf("%q becomes %q, want %q", address, got, want)
		}
	}
}

func FuzzBare(f *testing.F) {
	f.Add("https://me@site.example/a?b#c")
	f.Fuzz(func(_ *testing.T, address string) { bare(address) })
}
