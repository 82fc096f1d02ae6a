package rank

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"gavel/internal/rank/profile"
)

func newWork(t testing.TB) *work {
	t.Helper()
	profiles, err := profile.NewReader(map[string][]string{"placement": nil})
	if err != nil {
		t.Fatal(err)
	}
	return &work{server: &Server{options: Options{Profiles: profiles}}}
}

func (w *work) read(body string) error {
	w.request.source.Reset(w.server.options.Profiles.Extra(), time.Unix(0, 0))
	return w.decode([]byte(body))
}

func TestDecode(t *testing.T) {
	w := newWork(t)
	if err := w.read(" {\"limit\" : 25,\"campaigns\":[\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u00e4\\ud83d\\ude00\\ud83d\",\"ö\"] ,\n" +
		`"by":"value", "profile":{"user_agent":"x\u0041","hour":7,"weekday":null,"placement":"","provider":-1.5e+3}}` + "\t\r\n"); err != nil {
		t.Fatal(err)
	}
	q := &w.request
	if want := []string{"a\"\\/\b\f\n\r\t", "ä😀\ufffd", "ö"}; !reflect.DeepEqual(q.names, want) {
		t.Errorf("names %q, want %q", q.names, want)
	}
	if s := q.source; q.by != "value" || q.limit != 25 || !q.named || s.UserAgent != "xA" || s.Hour != "7" || s.Weekday != "" || s.Provider != "-1.5e+3" {
		t.Errorf("got %+v", q)
	}
}

// What is accepted is JSON, with the texts that encoding/json reads; and nothing ever fails otherwise than by an error.
func FuzzDecode(f *testing.F) {
	f.Add(`{"profile": {"user_agent": "x", "hour": 7, "country": null}, "campaigns": ["a\u00e4"], "by": "value", "limit": 10}`)
	f.Add(`{"profile":{"provider":"\ud83d\ude00\ud83dx"}}`)
	f.Add(`{"profile":{}}x`)
	f.Add(`{"profile":{"hour":01}}`)
	f.Add(`{"profile":{"device":"\"}}`)
	w := newWork(f)
	f.Fuzz(func(t *testing.T, body string) {
		if err := w.read(body); err != nil {
			return
		}
		var want struct {
			Profile   map[string]any
			Campaigns []string
			By        string
			Limit     json.Number
		}
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q is accepted: %v", body, err)
		}
		for i, name := range w.request.names {
			if strings.ToValidUTF8(name, "\ufffd") != strings.ToValidUTF8(want.Campaigns[i], "\ufffd") && strings.ToValidUTF8(name, "") == name {
				t.Fatalf("%q: campaign %q, want %q", body, name, want.Campaigns[i])
			}
		}
		if provider, ok := want.Profile["provider"].(string); ok && strings.ToValidUTF8(w.request.source.Provider, "") == w.request.source.Provider &&
			provider != w.request.source.Provider {
			t.Fatalf("%q: provider %q, want %q", body, w.request.source.Provider, provider)
		}
	})
}
