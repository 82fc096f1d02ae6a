package openrtb

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"gavel/internal/auction"
	"gavel/internal/privacy/privacytest"
	"gavel/internal/sellers"
)

// BenchmarkDecode decodes the typical request (2,179 bytes): into the domain, strictly and with one value of another
// type, and, for comparison, into the standard types.
func BenchmarkDecode(b *testing.B) {
	body := typical(b)
	coerced := bytes.Replace(body, []byte(`"tmax":120`), []byte(`"tmax":"120"`), 1)
	domain := func(body []byte, want bool) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			var r auction.Raw
			o := testOptions(b)
			for b.Loop() {
				if coerced, err := Decode(body, &r, o); err != nil || coerced != want {
					b.Fatal(coerced, err)
				}
			}
		}
	}
	b.Run("strict", domain(body, false))
	b.Run("tolerant", domain(coerced, true))
	standard := func(unmarshal func([]byte, any) error) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				var r openrtb2.BidRequest
				if err := unmarshal(body, &r); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("openrtb2/sonic", standard(strict.Unmarshal))
	b.Run("openrtb2/encoding-json", standard(json.Unmarshal))
}

func BenchmarkEncode(b *testing.B) {
	r := bannerRequest()
	result := oneBid(r)
	verdict := make([]auction.NoBidReason, 1)
	e := encoder1(b, EncoderOptions{})
	var out []byte
	b.Run("sonic", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if out, err = e.Bids(out[:0], r, &sellers.Seller{}, &result, verdict); err != nil || len(out) == 0 {
				b.Fatal(err)
			}
		}
		b.SetBytes(int64(len(out)))
	})
	var parsed openrtb2.BidResponse
	if err := json.Unmarshal(out, &parsed); err != nil {
		b.Fatal(err)
	}
	b.Run("writing-alone/sonic", func(b *testing.B) {
		b.ReportAllocs()
		r := &response{wire: parsed}
		for b.Loop() {
			var err error
			if out, err = e.write(out[:0], r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("writing-alone/encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(&parsed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHandler answers a whole request in process, without a connection. The auction takes no time and has one bid
// or none.
func BenchmarkHandler(b *testing.B) {
	f := func(name string, run func(context.Context, *auction.Request) auction.Result, wantStatus int) {
		b.Run(name, func(b *testing.B) {
			auctions := &quiet{run}
			s, err := NewServer(auctions, testLinker{}, noticeFunc(nil), Options{
				Law: privacytest.Lenient(b), Sellers: testSellers(b, "bench"),
				Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
				Timing: Timing{Min: time.Minute, Default: time.Minute, Max: time.Minute}, // so that bids are not late on a slow machine
			})
			if err != nil {
				b.Fatal(err)
			}
			var c fasthttp.RequestCtx
			var request fasthttp.Request
			request.Header.SetMethod("POST")
			request.SetRequestURI("http://h/openrtb2/bid/secret-of-seller-bench")
			request.Header.SetContentType("application/json")
			request.SetBody(typical(b))
			b.ReportAllocs()
			for b.Loop() {
				c.Init(&request, nil, nil)
				c.Response.Reset()
				s.handle(&c)
				if c.Response.StatusCode() != wantStatus {
					b.Fatal(c.Response.StatusCode())
				}
			}
		})
	}
	f("bid", func(_ context.Context, r *auction.Request) auction.Result { return oneBid(r) }, 200)
	f("no-bid", func(context.Context, *auction.Request) auction.Result {
		return auction.Result{Reason: auction.NoBidFloor}
	}, 204)
}

// quiet is fakeAuctions without records.
type quiet struct {
	run func(context.Context, *auction.Request) auction.Result
}

func (q *quiet) Run(ctx context.Context, req *auction.Request, dst []auction.Bid) auction.Result {
	r := q.run(ctx, req)
	r.Bids = append(dst[:0], r.Bids...)
	return r
}
func (*quiet) Sent(*auction.Request, *auction.Bid)                          {}
func (*quiet) Withdraw(*auction.Request, *auction.Bid, auction.NoBidReason) {}
