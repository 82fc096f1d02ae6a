package notify

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"
)

// Hosts are the hosts that may be called. Markup and notices come from a bidder and must not make the exchange call
// arbitrary hosts.
type Hosts map[string]bool

// NewHosts allows the host of base (any port) and the extra host names. If base is loopback, every name of loopback is allowed.
func NewHosts(base string, extra []string) (Hosts, error) {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("notify: %q is no absolute URL", base)
	}
	h := Hosts{u.Hostname(): true}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		h["localhost"], h["127.0.0.1"], h["::1"] = true, true, true
	}
	for _, e := range extra {
		h[e] = true
	}
	return h, nil
}

// Allow says whether raw is an http or https URL to one of the hosts.
func (h Hosts) Allow(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && h[u.Hostname()]
}

// Client is a Caller with keep-alive connections.
type Client struct {
	http    fasthttp.Client
	hosts   Hosts
	timeout time.Duration
}

// NewClient returns a client with at most conns connections a host.
func NewClient(hosts Hosts, conns int, timeout time.Duration) *Client {
	return &Client{
		hosts:   hosts,
		timeout: timeout,
		http: fasthttp.Client{
			Name: "gavel-exchange", MaxConnsPerHost: conns, MaxConnWaitTimeout: timeout,
			MaxIdleConnDuration: 5 * time.Second, MaxResponseBodySize: 1 << 20,
		},
	}
}

// Get calls url. If the host is not allowed, it returns an error and makes no call.
func (c *Client) Get(url string, from Browser) (Reply, error) {
	if !c.hosts.Allow(url) {
		return Reply{}, fmt.Errorf("notify: host of %q is not allowed; see notice_hosts", url)
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(url)
	if from.Agent != "" {
		req.Header.SetUserAgent(from.Agent)
	}
	if from.Language != "" {
		req.Header.Set(fasthttp.HeaderAcceptLanguage, from.Language)
	}
	if err := c.http.DoTimeout(req, resp, c.timeout); err != nil {
		return Reply{}, err
	}
	return Reply{Status: resp.StatusCode(), Location: string(resp.Header.Peek("Location"))}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
