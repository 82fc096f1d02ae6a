package openrtb

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/privacy"
	"gavel/internal/privacy/privacytest"
)

// captured is one request of the corpus.
type captured struct {
	Source string          `json:"src"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body"`
}

// corpus reads the captured requests. If they are not there, it skips the test.
func corpus(t testing.TB) []captured {
	t.Helper()
	dir := os.Getenv("GAVEL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	file, err := os.Open(filepath.Join(dir, "openrtb_corpus", "requests.ndjson.gz"))
	if err != nil {
		t.Skipf("the OpenRTB corpus is not here (set GAVEL_DATA to the folder that holds openrtb_corpus): %v", err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(plain)
	lines.Buffer(nil, 1<<20)
	var all []captured
	for lines.Scan() {
		var c captured
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(all) < 2000 {
		t.Fatalf("the corpus holds %d requests, want more than 2,000", len(all))
	}
	return all
}

// Decoding without types must agree with strict decoding wherever strict decoding succeeds.
func TestTolerantAgreesWithStrict(t *testing.T) {
	compared, coerced := 0, 0
	bySource := map[string][2]int{}
	for _, c := range corpus(t) {
		var strictly, tolerantly wireRequest
		n := bySource[c.Source]
		n[1]++
		err := strict.UnmarshalFromString(string(c.Body), &strictly)
		if err != nil {
			n[0]++
			coerced++
		}
		bySource[c.Source] = n
		if cerr := coerceRequest(string(c.Body), &tolerantly); cerr != nil {
			t.Errorf("%s: %v", c.Path, cerr)
			continue
		}
		if err == nil {
			compared++
			if !reflect.DeepEqual(strictly, tolerantly) {
				t.Errorf("%s:\nstrict   %+v\ntolerant %+v", c.Path, strictly, tolerantly)
			}
		}
	}
	t.Logf("%d agree, %d need coercion; by source (of all): %v", compared, coerced, bySource)
	if compared < 2000 || coerced == 0 {
		t.Errorf("compared %d, coerced %d: the corpus tests nothing", compared, coerced)
	}
}

// The same holds for the standard types. Requests that only conversion can read keep their ids.
func TestReadStandard(t *testing.T) {
	refused := 0
	for _, c := range corpus(t) {
		var strictly, tolerantly openrtb2.BidRequest
		if err := json.Unmarshal(c.Body, &strictly); err != nil {
			refused++
		}
		if err := coerceRequest(string(c.Body), &tolerantly); err != nil {
			t.Errorf("%s: %v", c.Path, err)
			continue
		}
		read, err := ReadStandard(c.Body)
		if err != nil || read.ID == "" || len(read.Imp) == 0 {
			t.Errorf("%s: %v", c.Path, err)
			continue
		}
		if a, b := wantJSON(t, read), wantJSON(t, &tolerantly); a != b {
			t.Errorf("%s:\nread     %s\ntolerant %s", c.Path, a, b)
		}
	}
	if refused == 0 {
		t.Error("encoding/json took everything: the corpus tests nothing")
	}
}

// coerce panics on a kind that it does not know, so no type may have such a field.
func TestCoerceKnowsEveryKind(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		if of == reflect.TypeFor[json.RawMessage]() || seen[of] {
			return
		}
		seen[of] = true
		switch of.Kind() {
		case reflect.Struct:
			for i := range of.NumField() {
				walk(path+"."+of.Field(i).Name, of.Field(i).Type)
			}
		case reflect.Pointer, reflect.Slice:
			walk(path, of.Elem())
		case reflect.String, reflect.Int, reflect.Int8, reflect.Int64, reflect.Float64:
		default:
			t.Errorf("%s is a %v", path, of)
		}
	}
	for _, of := range []reflect.Type{reflect.TypeFor[openrtb2.BidRequest](), reflect.TypeFor[wireRequest](), reflect.TypeFor[wireNativeRequest]()} {
		walk(of.Name(), of)
	}
}

// wantJSON returns v as JSON with sorted keys, also in extensions.
func wantJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(tree); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each field of the wire types is in openrtb2 under the same key, with a type of the same meaning.
func TestWireFollowsOpenRTB(t *testing.T) {
	older := map[string]bool{"sectioncat": true} // in 2.x, no longer in the Go types
	var walk func(path string, wire reflect.Type, std ...reflect.Type)
	walk = func(path string, wire reflect.Type, std ...reflect.Type) {
		for i := range wire.NumField() {
			field := wire.Field(i)
			key := field.Tag.Get("json")
			var found []reflect.Type
			for _, s := range std {
				for j := range s.NumField() {
					if name, _, _ := strings.Cut(s.Field(j).Tag.Get("json"), ","); name == key {
						found = append(found, s.Field(j).Type)
					}
				}
			}
			if len(found) == 0 && !older[key] {
				t.Errorf("%s.%s is not in openrtb2", path, key)
			}
			for _, f := range found {
				a, b := element(field.Type), element(f)
				switch {
				case b == reflect.TypeFor[json.RawMessage]().Elem(): // an extension
				case a.Kind() == reflect.Struct && b.Kind() == reflect.Struct:
					walk(path+"."+key, a, b)
				case integer(a) && integer(b), a.Kind() == b.Kind():
				default:
					t.Errorf("%s.%s is %v here and %v in openrtb2", path, key, field.Type, f)
				}
			}
		}
	}
	walk("site|app|dooh", reflect.TypeFor[wireSite](), reflect.TypeFor[openrtb2.Site](), reflect.TypeFor[openrtb2.App](), reflect.TypeFor[openrtb2.DOOH]())
	// The request itself comes last: site, app and dooh share a wire type with the fields of all three.
	sites := reflect.TypeFor[wireSite]()
	for i, request := 0, reflect.TypeFor[wireRequest](); i < request.NumField(); i++ {
		if f := request.Field(i); element(f.Type) != sites {
			one := reflect.StructOf([]reflect.StructField{f})
			walk("request", one, reflect.TypeFor[openrtb2.BidRequest]())
		}
	}
}

func integer(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 }

// element strips pointers and slices.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// Every captured request decodes, the result is in Request's normal form, and the law takes it.
func TestCorpusDecodes(t *testing.T) {
	var r auction.Raw
	law := privacytest.New(t, privacy.Defaults())
	for _, c := range corpus(t) {
		if _, err := Decode(c.Body, &r, testOptions(t)); err != nil {
			t.Errorf("%s: %v", c.Path, err)
			continue
		}
		checkRequest(t, &r)
		if req, reason := law.Apply(&r); reason == auction.NoBidNone && req.Privacy.Contextual && (req.User.ID != "" || req.Device.IP != "") {
			t.Errorf("%s: identifiers are left", c.Path)
		}
	}
}

func checkRequest(t *testing.T, r *auction.Raw) {
	t.Helper()
	if r.ID == "" || len(r.Impressions) > MaxImpressions || !r.Deadline.After(r.Received) {
		t.Errorf("id %q, %d impressions, deadline %v after receipt", r.ID, len(r.Impressions), r.Deadline.Sub(r.Received))
	}
	for i := range r.Impressions {
		imp := &r.Impressions[i]
		if imp.ID == "" || imp.Banner == nil && imp.Video == nil && imp.Audio == nil && imp.Native == nil || imp.Floor < 0 || imp.FloorCurrency == "" {
			t.Errorf("impression %d: %+v", i, imp)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(typical(f))
	for _, s := range []string{
		`{"id":1,"imp":{"id":2,"banner":{"w":"1","h":[2]}},"regs":{"ext":""},"site":[{"cat":"a"}]}`,
		`{"id":"1","imp":[{"id":"1","native":{"request":{"a":[1,2,{"b":null}]}}}],"tmax":1e400}`,
		`{"id":"\ud800","imp":[{"id":"\u0000","video":{"protocol":[[1]]}}]}`, `[[[[`, `{"id":"1","imp":[null]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r auction.Raw
		o := testOptions(t)
		if _, err := Decode(body, &r, o); err == nil {
			checkRequest(t, &r)
		}
		tree := string(body)
		var w wireRequest
		_ = coerceRequest(tree, &w) // must not panic on valid requests either
	})
}
