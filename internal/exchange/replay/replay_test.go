package replay

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bytedance/sonic"
	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
)

// dataDir is where the real sets lie; tests that need one skip where it is absent.
func dataDir(t *testing.T, set string) string {
	t.Helper()
	root := os.Getenv("GAVEL_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, set)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the set %s is not here (set GAVEL_DATA to the folder that holds it): %v", set, err)
	}
	return dir
}

var strict = sonic.Config{DisallowUnknownFields: true, CopyString: true}.Froze()

// all replays a set with f seeing every lot, and of the first thousand and every 20th after them the strictly decoded
// request (nil for the others and for raw lines).
func all(t *testing.T, dir, wantSet string, f func(l *lot.Lot, r *openrtb2.BidRequest)) int {
	t.Helper()
	s, set, err := Open(dir, "auto", Defaults(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if set != wantSet {
		t.Fatalf("auto chose %s for %s", set, dir)
	}
	var l lot.Lot
	last := time.Duration(-1)
	for n := 0; ; n++ {
		err := s.Next(&l)
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.Due < last || l.Due > last+time.Second+1 {
			t.Fatalf("row %d is due at %v after %v; want the same or at most max_gap later", n, l.Due, last)
		}
		last = max(l.Due, 0)
		var r *openrtb2.BidRequest
		if !l.MayReject && (n < 1000 || n%20 == 0) {
			r = new(openrtb2.BidRequest)
			if err := strict.Unmarshal(l.Body, r); err != nil {
				t.Fatalf("row %d: %v\n%s", n, err, l.Body)
			}
			if r.ID != l.ID || len(r.Imp) != len(l.Imps) || r.Imp[0].ID != l.Imps[0].ID {
				t.Fatalf("row %d: lot %+v does not match %s", n, l, l.Body)
			}
		}
		if l.MayReject {
			last = -1
		}
		f(&l, r)
	}
}

func segment(r *openrtb2.BidRequest, name string) string {
	for _, d := range r.User.Data {
		if d.Name == name {
			return d.Segment[0].ID
		}
	}
	return ""
}

func TestIPinYou(t *testing.T) {
	const train = 26_773
	i, clicksTrain, clicksTest := 0, 0, 0
	var trainPrice, testPrice, teacher float64
	n := all(t, dataDir(t, "ipinyou_2997"), "ipinyou_2997", func(l *lot.Lot, r *openrtb2.BidRequest) {
		imp := l.Imps[0]
		clicked := imp.Label == lot.LabelYes
		switch isTrain := i < train; {
		case isTrain != strings.Contains(string(l.Body), `"11908"`):
			t.Fatalf("row %d is in the wrong part: %s", i, l.Body)
		case isTrain:
			trainPrice += float64(imp.Rival)
			if clicked {
				clicksTrain++
			}
			if imp.Teacher != 0 {
				t.Fatalf("train row %d has a published pCTR", i)
			}
		default:
			testPrice += float64(imp.Rival)
			teacher += float64(imp.Teacher)
			if clicked {
				clicksTest++
			}
		}
		if imp.Rival < 1 || imp.Rival > 3000 {
			t.Fatalf("row %d: market price %d", i, imp.Rival)
		}
		if r != nil {
			if floor, _ := auction.MicrosFromCPM(r.Imp[0].BidFloor); floor > imp.Rival {
				t.Fatalf("row %d: floor %d, market price %d", i, floor, imp.Rival)
			}
		}
		if strings.Contains(string(l.Body), "click") {
			t.Fatalf("row %d tells its label: %s", i, l.Body)
		}
		i++
	})
	if n != train+21_150 || clicksTrain != 255 || clicksTest != 50 {
		t.Errorf("%d rows, %d and %d clicks; want 47923, 255, 50", n, clicksTrain, clicksTest)
	}
	t.Logf("mean market price %.0f micros (train, drawn), %.0f (test, real); mean published pCTR of test rows %.5f", trainPrice/train, testPrice/21_150, teacher/21_150)
	if mean := testPrice / 21_150; mean < 300 || mean > 1200 || trainPrice/train < 300 || trainPrice/train > 1200 {
		t.Errorf("mean prices %v and %v micros are not near the campaign's", trainPrice/train, mean)
	}
}

func TestRTBkit(t *testing.T) {
	countries := map[string]int{}
	east, west := 0, 0
	n := all(t, dataDir(t, "rtbkit_auctions_20k"), "rtbkit_auctions_20k", func(l *lot.Lot, r *openrtb2.BidRequest) {
		countries[l.Context.Country]++
		switch off := l.Context.UTCOffset; {
		case off > 0:
			east++
		case off < 0:
			west++
		}
		if r == nil {
			return
		}
		if ip := r.Device.IP; ip != "" && !strings.HasSuffix(ip, ".0") {
			t.Fatalf("address %s is not masked", ip)
		}
		if len(r.User.ID) != 32 || strings.Contains(r.User.ID, "CAES") {
			t.Fatalf("user id %s is not hashed", r.User.ID)
		}
		if l.Imps[0].Label != lot.LabelModel || l.Imps[0].Rival < 1 {
			t.Fatalf("impression %+v", l.Imps[0])
		}
	})
	if west < 16_000 || east > west/50 {
		t.Errorf("%d users west of UTC, %d east; the log is American", west, east)
	}
	if n != 20_000 || countries["USA"] != 17_303 || countries["CAN"] != 2_538 {
		t.Errorf("%d rows, countries %v; want 20000, USA 17303, CAN 2538", n, countries)
	}
}

func TestCriteo(t *testing.T) {
	clicks, cats := 0, map[string]bool{}
	n := all(t, dataDir(t, "criteo_attr_small"), "criteo_attr_small", func(l *lot.Lot, r *openrtb2.BidRequest) {
		if l.Imps[0].Label == lot.LabelYes {
			clicks++
		}
		if r != nil {
			cats[segment(r, "cat8")] = true
		}
	})
	if n != 115_382 || clicks != 41_637 || len(cats) < 9 || len(cats) > 11 {
		t.Errorf("%d rows, %d clicks, %d values of cat8; want 115382, 41637, at most 11", n, clicks, len(cats))
	}
}

func TestTalkingData(t *testing.T) {
	installs, apps := 0, map[string]bool{}
	n := all(t, dataDir(t, "talkingdata_100k"), "talkingdata_100k", func(l *lot.Lot, r *openrtb2.BidRequest) {
		if l.Imps[0].Label == lot.LabelYes {
			installs++
		}
		if r != nil {
			apps[segment(r, "app")] = true
		}
	})
	if n != 100_000 || installs != 227 || len(apps) < 50 || len(apps) > 161 {
		t.Errorf("%d rows, %d installs, %d apps; want 100000, 227, at most 161", n, installs, len(apps))
	}
}

func TestCorpus(t *testing.T) {
	withImps := 0
	n := all(t, dataDir(t, "openrtb_corpus"), "ndjson", func(l *lot.Lot, _ *openrtb2.BidRequest) {
		if len(l.Imps) > 0 {
			withImps++
		}
		if !l.MayReject || l.TMax <= 0 || !json.Valid(l.Body) {
			t.Fatalf("lot %+v", l)
		}
	})
	if n != 2220 || withImps < 2000 {
		t.Errorf("%d requests, %d with impressions; want 2220 and nearly as many", n, withImps)
	}
}

func TestNDJSONReadsTolerantly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.ndjson")
	lines := `{"id":"a","at":1.0,"tmax":"80","imp":[{"id":"1","bidfloor":"1.5","pmp":{"private_auction":1,"deals":[{"id":"d","bidfloor":2,"at":3}]}}],"site":{"domain":"x.example"}}

not json
{"src":"here","body":{"id":7,"at":"1","imp":[{"id":"1","bidfloor":2,"bidfloorcur":"EUR"}]}}
`
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := Open(path, "auto", Defaults(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []lot.Lot
	for {
		var l lot.Lot
		if err := s.Next(&l); err != nil {
			break
		}
		got = append(got, l)
	}
	if len(got) != 3 {
		t.Fatalf("%d lots, want 3", len(got))
	}
	a := got[0]
	if a.ID != "a" || a.TMax != 80*time.Millisecond || a.Imps[0].Floor != 1500 || !a.Imps[0].Private || a.Imps[0].Deals[0] != (lot.Deal{ID: "d", Floor: 2000, Type: 3}) || a.Context.Domain != "x.example" {
		t.Errorf("lot %+v", a)
	}
	if string(got[1].Body) != "not json" || got[1].ID != "line-3" {
		t.Errorf("lot %+v", got[1])
	}
	if b := got[2]; b.ID != "7" || !b.FirstBid || b.Imps[0].Floor != 0 || strings.Contains(string(b.Body), "src") {
		t.Errorf("lot %+v", b)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	f := func(name, path, set, want string) {
		t.Helper()
		_, _, err := Open(path, set, Defaults(), 1)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	empty := t.TempDir()
	f("no such place", filepath.Join(empty, "no"), "auto", "--data")
	f("nothing known", empty, "auto", "ipinyou_2997")
	f("unknown set", empty, "avazu", "avazu")
	f("files missing", empty, "ipinyou_2997", "featindex.fm.txt")
}

func TestMaskIP(t *testing.T) {
	for in, want := range map[string]string{"71.205.126.41": "71.205.126.0", "2001:db8:1:2:3:4:5:6": "2001:db8:1::", "here": "", "": ""} {
		if got := maskIP(in); got != want {
			t.Errorf("maskIP(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFloorOf(t *testing.T) {
	for bucket, want := range map[string]auction.Micros{"1-10": 10, "11-50": 110, "101+": 600, "other": 0} {
		if got := floorOf(bucket, 600); got != want {
			t.Errorf("floorOf(%q, 600) = %d, want %d", bucket, got, want)
		}
	}
}
