package features

import (
	"strings"
	"testing"
)

func TestSpecFaults(t *testing.T) {
	f := func(name string, spec []Feature, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, err := NewEncoder(spec)
			if err == nil {
				t.Fatal("expected an error")
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error lacks %q:\n%v", w, err)
				}
			}
		})
	}
	one := func(f Feature) []Feature {
		if f.Name == "" {
			f.Name = "a"
		}
		return []Feature{f}
	}
	f("none", nil, "there are none")
	f("name", one(Feature{Name: "A", Source: "device.os", Encoder: "hash", Buckets: 1}), `features[0] "A": name`)
	f("twice", []Feature{{Name: "a", Source: "device.os", Encoder: "hash", Buckets: 1}, {Name: "a", Source: "device.os", Encoder: "hash", Buckets: 1}},
		`features[1] "a": name: is used twice`)
	f("a near source", one(Feature{Source: "device.oss", Encoder: "hash", Buckets: 1}), "did you mean device.os?")
	f("no source", one(Feature{Encoder: "hash", Buckets: 1}), "source: is missing")
	f("the segment of nothing", one(Feature{Source: "user.segment.", Encoder: "hash", Buckets: 1}), "user.segment.<data> needs the name of the user data")
	f("a near transform", one(Feature{Source: "device.os", Transform: "lowr", Encoder: "hash", Buckets: 1}), "did you mean lower?")
	f("text transform of a number", one(Feature{Source: "device.type", Transform: "lower", Encoder: "hash", Buckets: 1}), "lower takes text")
	f("raw time", one(Feature{Source: "request.time", Encoder: "hash", Buckets: 1}), "add hour_of_week")
	f("hour of a text", one(Feature{Source: "device.os", Transform: "hour_of_day", Encoder: "hash", Buckets: 1}), "hour_of_day takes request.time")
	f("buckets", one(Feature{Source: "device.os", Encoder: "hash"}), "buckets: 0 is not in")
	f("hash with values", one(Feature{Source: "device.os", Encoder: "hash", Buckets: 1, Values: Values{"x"}}), "values: a hash encoder has none")
	f("vocabulary without values", one(Feature{Source: "device.os", Encoder: "vocabulary", Buckets: 2}), "buckets: a vocabulary has none", "needs some")
	f("values", one(Feature{Source: "device.os", Transform: "lower", Encoder: "vocabulary", Values: Values{"a", "a", "", "IOS"}}),
		`"a" is in the list twice`, "the empty text", `"IOS" cannot occur, because lower changes it to "ios"`)
	f("encoder", one(Feature{Source: "device.os", Encoder: "hsh", Buckets: 1}), `encoder: "hsh" is unknown`)
	f("slots", one(Feature{Source: "inventory.categories", Slots: 1000, Encoder: "hash", Buckets: 1}), "slots: 1000 is not in")
	f("slots of one value", one(Feature{Source: "device.os", Slots: 2, Encoder: "hash", Buckets: 1}), "slots: device.os has one value")
	f("of without cross", one(Feature{Source: "device.os", Of: []string{"b"}, Encoder: "hash", Buckets: 1}), "of: only a cross has it")
	f("a cross", []Feature{{Name: "os", Source: "device.os", Encoder: "hash", Buckets: 1},
		{Name: "x", Source: "device.os", Transform: "cross", Of: []string{"oss", "x"}, Encoder: "vocabulary", Values: Values{"v"}}},
		"source: a cross takes its values", "encoder: a cross has no text", `"oss" is not a feature above this one, did you mean os?`, `"x" is not a feature above`)
	f("too many indices", []Feature{{Name: "a", Source: "device.os", Encoder: "hash", Buckets: MaxTableRows - 1},
		{Name: "b", Source: "device.os", Encoder: "hash", Buckets: MaxTableRows - 1}}, "do not fit int32")
}

func TestTransforms(t *testing.T) {
	f := func(name, in, want string) {
		t.Helper()
		var buf []byte
		got, ok := lookupTransform(name).text(in, &buf)
		if want == "error" {
			if ok {
				t.Errorf("%s(%q) = %q, want an error", name, in, got)
			}
			return
		}
		if !ok || got != want {
			t.Errorf("%s(%q) = %q, %v; want %q", name, in, got, ok, want)
		}
	}
	f("lower", " iOS ", "ios")
	f("lower", "ÄÖ", "äö")
	f("country_alpha2", "usa", "US")
	f("country_alpha2", "XX", "")
	f("os_major", "14.4.1", "14")
	f("os_major", "Android 9", "9")
	f("os_major", "Vista", "vista")
	f("domain", "news.example.co.uk", "example.co.uk")
	f("domain", "a..uk", "uk")
	f("domain", "https://www.Example.com:8080/a?b", "example.com")
	f("domain", "user@a.b.example.org", "example.org")
	f("domain", "localhost", "localhost")
	f("domain", "10.1.2.3", "10.1.2.3")
	f("domain", "http://[::1]:80/", "[::1]")
	f("domain", "com.br", "com.br")
	f("domain", "...", "")
	f("log_bucket", "1", "0")
	f("log_bucket", "1.41", "0")
	f("log_bucket", "1.42", "1")
	f("log_bucket", "2", "2")
	f("log_bucket", "0.5", "-2")
	f("log_bucket", "0", "zero")
	f("log_bucket", "-3", "zero")
	f("log_bucket", "many", "error")
	f("log_bucket", "nan", "error")
	f("hour_of_week", "2024-03-05T22:30:00Z", "46") // Tuesday 22:30
	f("hour_of_week", "2024-03-05T22:30:00+02:00", "46")
	f("hour_of_week", "1709677800000", "46")
	f("hour_of_day", "2024-03-05T22:30:00Z", "22")
	f("hour_of_day", "noon", "error")
}

func TestSourcesAreDescribed(t *testing.T) {
	for _, s := range Sources() {
		if s.Doc == "" {
			t.Errorf("%s has no description", s.Name)
		}
	}
	for i := range sources {
		set := 0
		for _, has := range []bool{sources[i].text != nil, sources[i].number != nil, sources[i].compose != nil, sources[i].list != nil} {
			if has {
				set++
			}
		}
		if set != 1 {
			t.Errorf("%s: %d ways of reading, want 1", sources[i].name, set)
		}
	}
	if len(sourceByName) != len(sources) {
		t.Error("two sources share a name")
	}
}
