package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"gavel/internal/auction"
)

// fasthttpOwn are goroutines that fasthttp keeps for the process or for idle connections.
var fasthttpOwn = func() (all []goleak.Option) {
	for _, name := range []string{"(*workerPool).Start.func2", "(*workerPool).workerFunc", "(*HostClient).connsCleaner",
		"(*Client).mCleaner", "(*TCPDialer).tcpAddrsClean", "updateServerDate.func1", "(*Server).Serve"} {
		all = append(all, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp."+name))
	}
	return append(all, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp/stackless.funcWorker"))
}()

// bidder is a small HTTP server that answers bid requests and records notices.
type bidder struct {
	base   string
	server *fasthttp.Server
	done   chan struct{}
	// answer makes the answer to a request; nil: a bid of 5 CPM on every impression.
	answer  func(c *fasthttp.RequestCtx, r *openrtb2.BidRequest)
	landing string // of clicks, before the click's id; empty: of a shop

	mu       sync.Mutex // guards what follows
	requests int
	gzipped  int
	fail     int // how many billing calls are answered with 503 first
	notices  map[string][]string
	spend    map[string]auction.Micros // by bid id
}

func startBidder(t *testing.T) *bidder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bidder{base: "http://" + listener.Addr().String(), done: make(chan struct{}), notices: map[string][]string{}, spend: map[string]auction.Micros{}}
	b.server = &fasthttp.Server{Handler: b.handle}
	go func() {
		defer close(b.done)
		if err := b.server.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := b.server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-b.done
	})
	return b
}

func (b *bidder) handle(c *fasthttp.RequestCtx) {
	path := string(c.Path())
	if path == "/openrtb2/bid" {
		body := c.Request.Body()
		if len(c.Request.Header.ContentEncoding()) > 0 {
			var err error
			if body, err = c.Request.BodyGunzip(); err != nil {
				c.Error(err.Error(), 400)
				return
			}
			b.mu.Lock()
			b.gzipped++
			b.mu.Unlock()
		}
		b.mu.Lock()
		b.requests++
		b.mu.Unlock()
		var r openrtb2.BidRequest
		if err := json.Unmarshal(body, &r); err != nil {
			c.SetStatusCode(400)
			return
		}
		if b.answer != nil {
			b.answer(c, &r)
			return
		}
		b.bid(c, &r, 5)
		return
	}
	id := string(c.QueryArgs().Peek("t"))
	b.mu.Lock()
	defer b.mu.Unlock()
	if path == "/n/billing" && b.fail > 0 {
		b.fail--
		c.SetStatusCode(503)
		return
	}
	b.notices[path] = append(b.notices[path], id)
	switch path {
	case "/n/billing":
		cpm, err := strconv.ParseFloat(string(c.QueryArgs().Peek("p")), 64)
		price, _ := auction.MicrosFromCPM(cpm)
		if err != nil || price <= 0 {
			c.SetStatusCode(400)
			return
		}
		b.spend[id] = price
	case "/n/click":
		c.Response.Header.Set("Location", cmp.Or(b.landing, "https://shop.example/?gavel_click=")+id)
		c.SetStatusCode(302)
		return
	}
	c.SetStatusCode(204)
}

// bid answers with one bid an impression, compressed if the request accepts gzip.
func (b *bidder) bid(c *fasthttp.RequestCtx, r *openrtb2.BidRequest, cpm float64) {
	resp := openrtb2.BidResponse{ID: r.ID, Cur: "USD", SeatBid: []openrtb2.SeatBid{{Seat: "s"}}}
	for i, imp := range r.Imp {
		id := r.ID + "." + imp.ID
		link := func(kind, more string) string { return fmt.Sprintf("%s/n/%s?t=%s%s", b.base, kind, id, more) }
		resp.SeatBid[0].Bid = append(resp.SeatBid[0].Bid, openrtb2.Bid{
			ID: id, ImpID: imp.ID, Price: cpm, CID: fmt.Sprint("campaign-", i), CrID: "cr", ADomain: []string{"shop.example"},
			NURL: link("win", "&p=${AUCTION_PRICE}"), BURL: link("billing", "&p=${AUCTION_PRICE}"), LURL: link("loss", "&r=${AUCTION_LOSS}"),
			AdM: fmt.Sprintf(`<a href="%s"><img src="https://cdn.example/a.png"></a><img src="%s">`, link("click", ""), link("impression", "")),
		})
	}
	text, err := json.Marshal(resp)
	if err != nil {
		c.Error(err.Error(), 500)
		return
	}
	c.SetBody(text)
	if c.Request.Header.HasAcceptEncoding("gzip") {
		c.Response.Header.SetContentEncoding("gzip")
		c.SetBody(fasthttp.AppendGzipBytes(nil, text))
	}
}

func (b *bidder) count(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.notices[path])
}
