package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/bytedance/sonic"
	"github.com/klauspost/compress/gzip"
	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/valyala/fasthttp"

	"gavel/internal/exchange/report"
)

// maxAnswer bounds a bid response, in bytes.
const maxAnswer = 4 << 20

// bidClient sends bid requests over keep-alive connections.
type bidClient struct {
	http  fasthttp.HostClient
	uri   string
	grace time.Duration
}

func newBidClient(o *Options) (*bidClient, error) {
	u, err := url.Parse(o.Bidder)
	if err != nil {
		return nil, fmt.Errorf("engine: cannot use bidder %q: %w", o.Bidder, err)
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "80")
	}
	u.Path = "/openrtb2/bid"
	if o.Secret != "" {
		u.Path += "/" + o.Secret
	}
	return &bidClient{
		uri:   u.String(),
		grace: o.Grace,
		http: fasthttp.HostClient{
			Addr: addr, Name: "gavel-exchange", MaxConns: o.Connections, MaxIdleConnDuration: 5 * time.Second,
			MaxResponseBodySize: maxAnswer, MaxIdemponentCallAttempts: 2,
			// If the bidder closed an idle connection, it has not received the request, which is sent again.
			RetryIfErr: func(_ *fasthttp.Request, _ int, err error) (bool, bool) {
				return false, errors.Is(err, io.EOF) || errors.Is(err, fasthttp.ErrConnectionClosed)
			},
		},
	}, nil
}

func (c *bidClient) close() { c.http.CloseIdleConnections() }

// call is one worker's request and response, reused.
type call struct {
	c    *bidClient
	req  *fasthttp.Request
	resp *fasthttp.Response
	zip  *gzip.Writer
	buf  bytes.Buffer
}

func (c *bidClient) newCall() *call {
	k := &call{c: c, req: fasthttp.AcquireRequest(), resp: fasthttp.AcquireResponse()}
	k.zip, _ = gzip.NewWriterLevel(&k.buf, gzip.BestSpeed) // BestSpeed is a valid level: no error
	k.req.Header.SetMethod(fasthttp.MethodPost)
	k.req.Header.SetContentType("application/json")
	k.req.Header.Set("X-Openrtb-Version", "2.6")
	k.req.SetRequestURI(c.uri)
	return k
}

func (k *call) release() {
	fasthttp.ReleaseRequest(k.req)
	fasthttp.ReleaseResponse(k.resp)
}

// send posts body and decodes the answer. It waits tmax + grace. resp is nil unless the answer is Bids. err says why
// the answer is Failed.
func (k *call) send(body []byte, zipped bool, tmax time.Duration) (a report.Answer, resp *openrtb2.BidResponse, sent, answered time.Time, err error) {
	if zipped {
		k.buf.Reset()
		k.zip.Reset(&k.buf)
		_, _ = k.zip.Write(body) // a bytes.Buffer never fails
		_ = k.zip.Close()
		body = k.buf.Bytes()
		k.req.Header.SetContentEncoding("gzip")
		k.req.Header.Set(fasthttp.HeaderAcceptEncoding, "gzip")
	} else {
		k.req.Header.Del(fasthttp.HeaderContentEncoding)
		k.req.Header.Del(fasthttp.HeaderAcceptEncoding)
	}
	k.req.SetBodyRaw(body)
	sent = time.Now()
	err = k.c.http.DoTimeout(k.req, k.resp, tmax+k.c.grace)
	answered = time.Now()
	if errors.Is(err, fasthttp.ErrTimeout) || errors.Is(err, fasthttp.ErrDialTimeout) {
		return report.Timeout, nil, sent, answered, nil
	}
	if err != nil {
		return report.Failed, nil, sent, answered, fmt.Errorf("engine: cannot ask the bidder: %w", err)
	}
	switch status := k.resp.StatusCode(); status {
	case fasthttp.StatusNoContent:
		return report.NoBid, nil, sent, answered, nil
	case fasthttp.StatusBadRequest:
		return report.Reject, nil, sent, answered, nil
	case fasthttp.StatusOK:
	default:
		return report.Failed, nil, sent, answered, fmt.Errorf("engine: the bidder answered with status %d", status)
	}
	text := k.resp.Body()
	if len(k.resp.Header.ContentEncoding()) > 0 {
		if text, err = gunzip(text); err != nil {
			return report.Failed, nil, sent, answered, fmt.Errorf("engine: cannot unpack the answer: %w", err)
		}
	}
	resp = new(openrtb2.BidResponse)
	if err := sonic.Unmarshal(text, resp); err != nil {
		return report.Failed, nil, sent, answered, fmt.Errorf("engine: cannot read the answer: %w", err)
	}
	for i := range resp.SeatBid {
		if len(resp.SeatBid[i].Bid) > 0 {
			return report.Bids, resp, sent, answered, nil
		}
	}
	return report.NoBid, nil, sent, answered, nil
}

// gunzip decompresses at most maxAnswer bytes.
func gunzip(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = fmt.Errorf("more than %d bytes", maxAnswer)
	}
	return text, err
}
