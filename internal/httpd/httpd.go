// Package httpd serves HTTP/1.1 on an event loop of its own, and leaves HTTP itself to fasthttp.
//
// Two kinds of goroutine share the work:
//
//   - The loop waits in epoll for all connections, accepts, reads, and finds out whether a request has come whole. It asks
//     the Gate of it, and answers a refused one by itself: a refusal costs one read and one write, and waits for nobody.
//     While others have the processors the loop has none, so a worker that begins or has answered takes its turn for it,
//     and one that has answered gives its core away now and then while requests are refused.
//   - A worker takes a request that is let in. It runs fasthttp's own connection loop, for which it is the connection:
//     what fasthttp reads is the request, and what it writes goes to the socket. So parsing, bodies, 100-continue,
//     keep-alive and errors are fasthttp's, byte for byte. After the answer the worker gives the connection back and is
//     parked; the one parked last works next, for its stack and caches are warm.
//
// A connection belongs to one side at a time (see conn): idle ones to the loop, the others to their worker. Only the loop
// opens and closes sockets, and only those that belong to it, so nobody ever writes to a descriptor that was closed and
// given to another connection.
//
// Work that is done elsewhere needs no worker to wait for it: a Direct handler is called on the loop, and may answer later,
// from any goroutine. The loop writes such answers, many a turn (see Call).
//
// What the loop can't tell to be whole at a glance (chunked bodies, Expect, HTTP/1.0, large bodies, what is no HTTP at
// all) goes to a worker as it is. That reads on as fasthttp asks for more, and waits for the loop to say that there is
// more. Where a request ends is always fasthttp's to say, except of those that the loop refuses.
package httpd

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Verdict is a gate's answer.
type Verdict int

// What becomes of a request.
const (
	Pass   Verdict = iota // the gate does not care: it is handled
	Admit                 // it is handled, and Leave follows
	Refuse                // it is answered with the gate's status
)

// Gate decides about a request before anything is spent on it.
type Gate struct {
	// Status is what refused requests are answered with; it must be one without a body, 204 say.
	Status int
	// Ask is called for every request, on the loop where the request is a simple one: it must not block, nor keep its
	// arguments. The path is decoded if a worker asks, and as it came on the loop; what passes there is asked about again.
	Ask func(method, path []byte) Verdict
	// Leave is called once for every request that was admitted, when its handler has returned or it turned out to be none
	// that can be read; it comes before the answer is written.
	Leave func()
}

// Options configure a Server. All but Gate and Direct must be set.
type Options struct {
	// Handler answers a request. It must not keep its context, nor what that holds, for another request or another
	// connection is next in it; so it can't hijack the connection, which is answered with 500. Its panics are the process's.
	Handler fasthttp.RequestHandler
	// ErrorHandler answers what is not an HTTP request that can be read, as fasthttp.Server's does.
	ErrorHandler func(*fasthttp.RequestCtx, error)
	Gate         *Gate
	Direct       *Direct

	MaxConnections int           // open connections; more get 503
	MaxBody        int           // bytes of a request's body
	MaxHead        int           // bytes of the request line and headers
	ReadTimeout    time.Duration // from a request's first byte to its last, ±0.1 s
	WriteTimeout   time.Duration // to write an answer, ±0.1 s
	IdleTimeout    time.Duration // between requests of one connection, ±0.1 s
}

func (o *Options) validate() error {
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("httpd: server: "+format, args...))
		}
	}
	require(o.Handler != nil && o.ErrorHandler != nil, "no handler given, or none of errors")
	if g := o.Gate; g != nil {
		require(g.Ask != nil && g.Leave != nil, "the gate must have Ask and Leave")
		require(g.Status == 204 || g.Status == 304, "the gate's status %d must have no body: 204 or 304", g.Status)
	}
	require(o.Direct == nil || o.Direct.Begin != nil, "the direct handler has no Begin")
	require(o.MaxConnections > 0, "max connections %d must be positive", o.MaxConnections)
	require(o.MaxBody > 0, "max body %d must be positive", o.MaxBody)
	require(o.MaxHead >= 256, "max head %d must be at least 256 bytes", o.MaxHead)
	require(o.ReadTimeout > 0 && o.WriteTimeout > 0 && o.IdleTimeout > 0,
		"timeouts must be positive, have read %v, write %v, idle %v", o.ReadTimeout, o.WriteTimeout, o.IdleTimeout)
	return errors.Join(faults...)
}

// counts are a server's connections.
type counts struct {
	open    atomic.Int64
	refused atomic.Uint64
}

// Connections is how many connections are open.
func (s *Server) Connections() int { return int(s.counts.open.Load()) }

// Refused is how many connections were refused since the limit was reached.
func (s *Server) Refused() uint64 { return s.counts.refused.Load() }

// handle runs the handler.
func (o *Options) handle(c *fasthttp.RequestCtx) {
	o.Handler(c)
	if c.Hijacked() {
		c.Hijack(nil)
		c.Response.Reset()
		c.SetStatusCode(fasthttp.StatusInternalServerError)
		c.SetConnectionClose()
	}
}

// codec is fasthttp's server, of which only the handling of one connection is used.
func codec(o *Options, handler fasthttp.RequestHandler) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      handler,
		ErrorHandler:                 o.ErrorHandler,
		Concurrency:                  math.MaxInt32, // the loop counts connections
		IdleTimeout:                  time.Hour,     // a mark only: see worker
		MaxRequestBodySize:           o.MaxBody,
		ReadBufferSize:               o.MaxHead,
		WriteBufferSize:              16 << 10, // most answers in one write
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		Logger:                       discard{},
	}
}

// discard swallows fasthttp's log, which has a line for every connection a peer breaks.
type discard struct{}

func (discard) Printf(string, ...any) {}
