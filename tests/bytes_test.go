package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/bids"
	"gavel/internal/events/notices"
	"gavel/internal/events/publish"
	"gavel/internal/openrtb"
	"gavel/internal/privacy"
	"gavel/internal/privacy/privacytest"
	"gavel/internal/sellers"
	"gavel/internal/stream/nats"
)

var requests = flag.Int("requests", 300, "how many requests TestNoIdentifierIsWritten sends without consent; the whole form is 10000")

// mark is part of every identifier that can hold it. The others are distinct texts of their own.
const mark = "idntfr"

// identifiers are what must not be written without consent, by where they are in a request. found says that they are stored with
// consent: the others are never read.
var identifiers = []struct {
	name, text string
	found      bool
}{
	{"user.id", mark + "-user", true}, {"user.buyeruid", mark + "-buyer", true}, {"user.keywords", mark + "-keyword", true},
	{"user.data", mark + "-segment", true}, {"user.gender", mark + "-gender", true}, {"user.eids", mark + "-eid", false},
	{"device.ip", "198.51.100.77", true}, {"device.ifa", mark + "-ifa", false}, {"device.didsha1", mark + "-did", false},
	{"device.ua", mark + "-agent", true}, {"device.model", mark + "-model", true}, {"device.carrier", mark + "-carrier", true},
	{"geo.city", mark + "-city", true}, {"geo.zip", "ZQ97XJ", true}, {"geo.metro", mark + "-metro", true}, {"geo.lat", "48.123457", false},
	{"site.page", mark + "-page", true}, {"site.ref", mark + "-ref", false}, {"consent", mark + "-consent", false},
	{"a browser's header", mark + "-header", false},
}

// body returns a bid request whose every field of a person is an identifier. regs and consent are the signals.
func body(n int, regs, consent string) string {
	return fmt.Sprintf(`{"id":"auction-%d","at":2,"tmax":1000,"cur":["USD"],"imp":[{"id":"1","banner":{"w":300,"h":250},"bidfloor":0.01}],
	"site":{"id":"s","domain":"news.example","page":"https://news.example/a?uid=%[2]s-page-%[1]d","ref":"https://x.example/%[2]s-ref-%[1]d","cat":["IAB12"]},
	"device":{"ua":"Mozilla/5.0 %[2]s-agent-%[1]d","ip":"198.51.100.77","ipv6":"2001:db8::77","ifa":"%[2]s-ifa-%[1]d","didsha1":"%[2]s-did-%[1]d","devicetype":4,"os":"iOS",
	"osv":"17.5.1","make":"Apple","model":"%[2]s-model-%[1]d","carrier":"%[2]s-carrier-%[1]d","w":390,"h":844,
	"geo":{"country":"DEU","region":"BE","city":"%[2]s-city-%[1]d","zip":"ZQ97XJ","metro":"%[2]s-metro-%[1]d","lat":48.123457,"lon":11.123457}},
	"user":{"id":"%[2]s-user-%[1]d","buyeruid":"%[2]s-buyer-%[1]d","yob":1987,"gender":"%[2]s-gender","keywords":"%[2]s-keyword-%[1]d",
	"data":[{"name":"d","segment":[{"id":"%[2]s-segment-%[1]d"}]}],"eids":[{"source":"e.example","uids":[{"id":"%[2]s-eid-%[1]d"}]}],
	"ext":{"consent":"%[4]s","eids":[{"uids":[{"id":"%[2]s-eid-%[1]d"}]}]}},"regs":%[3]s}`, n, mark, regs, consent)
}

// refusals are ways to say no, and strings that cannot be read.
func refusals() (all [][2]string) {
	nothing := privacytest.TC{}.String()
	optedOut := privacytest.GPP(privacytest.Section{ID: 7, Text: privacytest.US(1, 27, map[int]int{6: 1, 8: 1})})
	for _, s := range [][2]string{
		{`{"gdpr":1}`, nothing}, {`{"gdpr":1}`, ""}, {`{"gdpr":1}`, mark + "-consent"}, {`{"ext":{"gdpr":1}}`, nothing}, {`{}`, ""},
		{`{"gdpr":"1"}`, nothing}, {`{"gdpr":true,"coppa":"0"}`, nothing[:20]}, {`{"gdpr":0,"coppa":1}`, ""}, {`{"gdpr":0,"us_privacy":"1YYN"}`, ""},
		{`{"gdpr":0,"us_privacy":"` + mark + `-consent"}`, ""}, {`{"gdpr":0,"gpp":"` + optedOut + `","gpp_sid":[7]}`, ""},
		{`{"gdpr":0,"ext":{"gpp":"` + mark + `-consent"}}`, ""}, {`{"gdpr":0,"ext":{"gpc":"1"}}`, ""},
		{`{"gdpr":1}`, privacytest.TC{Consents: []int{1, 2, 3, 4, 7, 10}, Vendors: []int{5}}.String()},
		{`{"gdpr":1}`, privacytest.TC{Consents: []int{1, 2, 3, 7, 10}, Vendors: []int{vendor}}.String()},
	} {
		all = append(all, s)
	}
	return all
}

const vendor = 755

// After thousands of requests without consent, of which most got contextual bids whose events were stored, in the stream or, while
// it was away, in the journal, no identifier is in any byte that was written. The same search finds them with consent. The whole form:
//
//	go test ./tests -run TestNoIdentifierIsWritten -requests 10000
func TestNoIdentifierIsWritten(t *testing.T) {
	says := refusals()
	written, bid := serve(t, *requests, func(n int) string { s := says[n%len(says)]; return body(n, s[0], s[1]) })
	t.Logf("%d of %d requests without consent got bids; %d bytes were written", bid, *requests, len(written))
	if bid < *requests/2 || bytes.Count(written, []byte("campaign-a")) < bid {
		t.Errorf("%d of %d requests got bids, and their events were not all stored: nothing was tested", bid, *requests)
	}
	for _, id := range identifiers {
		if i := bytes.Index(written, []byte(id.text)); i >= 0 {
			t.Errorf("%s was written: …%q…", id.name, written[max(0, i-60):min(len(written), i+60)])
		}
	}
	unstored := privacytest.TC{Consents: []int{1, 2, 3, 4, 7}, Vendors: []int{vendor}}.String() // 10 is missing
	written, bid = serve(t, 40, func(n int) string { return body(n, `{"gdpr":1}`, unstored) })
	if i := bytes.Index(written, []byte(mark)); i >= 0 || bid < 20 {
		t.Errorf("%d of 40 requests that may not be stored got bids; written: …%q…", bid, written[max(0, i-60):max(0, i)+60])
	}
	consent := privacytest.TC{Consents: []int{1, 2, 3, 4, 7, 10}, Vendors: []int{vendor}}.String()
	written, bid = serve(t, 40, func(n int) string { return body(n, `{"gdpr":1}`, consent) })
	if bid < 20 {
		t.Errorf("%d of 40 requests with consent got bids", bid)
	}
	for _, id := range identifiers {
		if got := bytes.Contains(written, []byte(id.text)); got != id.found {
			t.Errorf("with consent, %s was written: %v, want %v", id.name, got, id.found)
		}
	}
}

// serve runs what a bidder writes with: the edge with its log, auctions, notices, publisher, journal and stream. It sends n
// requests, the last third while the stream is away, and calls the notices of each bid. It returns all bytes of all files that were
// written, and how many requests got a bid.
func serve(t *testing.T, n int, request func(n int) string) (written []byte, bid int) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	check(err)
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := nats.StartEmbedded(nats.EmbedOptions{Dir: filepath.Join(dir, "stream"), Logger: logger})
	check(err)
	stream, err := nats.Connect(nats.Options{Embedded: server, Logger: logger})
	check(err)
	registry := prometheus.NewRegistry()
	publisher, err := publish.New(publish.Options{Stream: stream, Source: "b", SpillFile: filepath.Join(dir, "spill"), Logger: logger, Registerer: registry, BatchWait: time.Millisecond})
	check(err)
	keys, err := notices.OpenKeyring(filepath.Join(dir, "keys"))
	check(err)
	auctioneer, ledger := house(t)
	rules := privacy.Defaults()
	rules.Vendor = vendor
	law, err := privacy.New(rules, registry)
	check(err)
	known, err := sellers.New(map[string]sellers.Settings{"x": {Addresses: []string{"127.0.0.1"}}}, "USD")
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	noticed, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	base, public := "http://"+listener.Addr().String(), "http://"+noticed.Addr().String()
	links, err := notices.NewLinker(public, keys, known)
	check(err)
	landing := func(string, string) (string, bool) { return "https://shop.example/", true }
	handler, err := notices.New(notices.Options{Keys: keys, Ledger: ledger, Sellers: known, Publisher: publisher, Landing: landing, Logger: logger, Registerer: registry})
	check(err)
	edge, err := openrtb.NewServer(&bids.Recorder{Auctioneer: auctioneer, Ledger: ledger, Publisher: publisher, Logger: logger},
		linked{links}, booked{handler}, openrtb.Options{
			Law: law, Sellers: known, Logger: logger, Registerer: registry, Encoder: openrtb.EncoderOptions{AllowInsecure: true},
			Timing: openrtb.Timing{Min: time.Minute, Default: time.Minute, Max: time.Minute},
		})
	check(err)
	ended := make(chan error, 2)
	go func() { ended <- edge.Serve(listener) }()
	go func() { ended <- edge.ServeNotices(noticed) }()

	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, url, body string) (int, []byte) {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		check(err)
		req.Header.Set("Content-Type", "application/json")
		for _, name := range []string{"User-Agent", "Cookie", "Referer", "X-Forwarded-For"} {
			req.Header.Set(name, mark+"-header")
		}
		response, err := client.Do(req)
		check(err)
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		check(err)
		return response.StatusCode, answer
	}
	for i := range n {
		if i == n*2/3 {
			server.Close()
		}
		text := request(i)
		if i%50 == 49 {
			do("POST", base+"/openrtb2/bid", text[:len(text)-9]) // damaged: a log line
		}
		status, answer := do("POST", base+"/openrtb2/bid", text)
		if status != http.StatusOK {
			continue
		}
		bid++
		var response openrtb2.BidResponse
		check(json.Unmarshal(answer, &response))
		first := response.SeatBid[0].Bid[0]
		for _, url := range []string{first.NURL, first.BURL} {
			do("GET", strings.ReplaceAll(url, "${AUCTION_PRICE}", "0.02"), "")
		}
		for part := range strings.SplitSeq(first.AdM, `"`) {
			if strings.HasPrefix(part, public) {
				do("GET", part, "")
			}
		}
	}
	client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check(edge.Shutdown(ctx))
	check(errors.Join(<-ended, <-ended))
	_ = publisher.Close(ctx) // the stream is away: its events are in the journal
	stream.Close()
	server.Close()
	check(log.Close())
	check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		written = append(append(written, path...), data...)
		return err
	}))
	return written, bid
}

// house is an auctioneer with one campaign that always bids, and its ledger.
func house(t *testing.T) (*auction.Auctioneer, *auction.Ledger) {
	t.Helper()
	campaign := auction.Campaign{
		ID: "campaign-a", Advertiser: "A", Domain: "shop.example", DailyBudget: 1e12, Pacing: auction.PaceASAP, Goal: auction.Goal{Kind: auction.CPM, Value: 20_000},
		Creatives: []auction.Creative{{ID: "b", Kind: auction.BannerCreative, Size: auction.Size{W: 300, H: 250}, ClickURL: "https://shop.example/",
			Markup: `<a href="${CLICK_URL}"><img src="https://cdn.example/a.png"></a><img src="${IMPRESSION_URL}">`}},
	}
	set, err := auction.NewCampaignSet([]auction.Campaign{campaign}, auction.SetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := auction.NewLedger(auction.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ledger.SetPlans([]auction.Plan{auction.PlanFor(&campaign)}, time.Now())
	for day := range auction.Day(2) {
		ledger.Grant(campaign.ID, auction.DayOf(time.Now())+day, campaign.DailyBudget)
	}
	auctioneer, err := auction.NewAuctioneer(auction.AuctioneerOptions{Scorer: noModel{}, Budget: ledger})
	if err != nil {
		t.Fatal(err)
	}
	auctioneer.SetCampaigns(set)
	return auctioneer, ledger
}

// noModel is a scorer without models: campaigns that pay per impression bid all the same.
type noModel struct{}

func (noModel) Score(context.Context, *auction.Request, []auction.Candidate, []auction.Prediction, []bool) error {
	return auction.ErrNoModel
}

// linked and booked connect the rooms, as the bidder does.
type linked struct{ *notices.Linker }

func (l linked) Links(req *auction.Request, bid *auction.Bid, dst *openrtb.Links) {
	*dst = openrtb.Links(l.Linker.Links(req, bid))
}

type booked struct{ *notices.Handler }

func (b booked) Notice(ctx context.Context, in *openrtb.Notice) (openrtb.NoticeResult, error) {
	redirect, err := b.Handle(ctx, &notices.Notice{Kind: events.Type(in.Kind), Token: in.Token, Price: in.Price})
	return openrtb.NoticeResult{Redirect: redirect}, err
}

// Every refusal is a refusal: the law leaves nothing of a person in the request.
func TestRefusalsAreContextual(t *testing.T) {
	rules := privacy.Defaults()
	rules.Vendor = vendor
	law := privacytest.New(t, rules)
	for i, s := range refusals() {
		var raw auction.Raw
		if _, err := openrtb.Decode([]byte(body(i, s[0], s[1])), &raw, &openrtb.DecodeOptions{}); err != nil {
			t.Fatal(err)
		}
		req, reason := law.Apply(&raw)
		if reason != auction.NoBidNone || !req.Privacy.Contextual || slices.ContainsFunc(identifiers, func(id struct {
			name, text string
			found      bool
		}) bool {
			return strings.Contains(fmt.Sprintf("%+v", *req), id.text)
		}) {
			t.Errorf("%v: reason %q, left %+v", s, reason, req)
		}
	}
}
