// Package httpd serves HTTP/1.1 on its own event loop, with fasthttp as the codec.
//
// Two kinds of goroutine share the work:
//
//   - The loop waits in epoll for all connections, accepts, and reads until a request has arrived whole. It alone decides
//     where a request ends (see scan), and refuses what RFC 9112 does not allow. It asks the Gate and answers a refused
//     request itself: a refusal costs one read and one write and waits for no goroutine. While the loop has no processor,
//     workers take its events from epoll (see loop.help).
//   - A worker handles a request that was let in. It runs fasthttp's connection loop on a net.Conn that is the worker itself.
//     fasthttp reads whole requests from it and writes the answers to the socket through it. After the answers the worker
//     gives the connection back and parks. The worker that parked last works next, because its stack and caches are warm.
//
// A connection has one owner at a time (see conn): idle connections belong to the loop, the others to their worker.
// Only the loop opens and closes sockets, and only those that it owns. So nobody can write to a descriptor that was
// closed and reused for another connection.
//
// If a request's work is done elsewhere, no worker needs to wait for it. A Direct handler is called on the loop, and
// the answer may come later, from any goroutine. The loop writes such answers (see Call).
//
// Peers cannot make the server allocate what they only announce: the memory of a request grows with what arrives, and
// Options.MaxUnderWay bounds that of all together. fasthttp copies a body, so a request takes twice its size while it is
// handled.
package httpd

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Verdict is a gate's decision about a request.
type Verdict int

// The decisions of a gate.
const (
	Pass   Verdict = iota // the request is handled, and Leave is not called
	Admit                 // the request is handled, and Leave is called
	Refuse                // the request is answered with the gate's status
)

// Gate decides about a request before any work is done for it.
type Gate struct {
	// Status is the status of refused requests. It must be one without a body: 204 or 304.
	Status int
	// Ask is called for every request: on the loop if the request is a simple one, else by a worker. It must not block,
	// nor keep its arguments. The path is decoded if a worker asks, and as it was sent if the loop does. If Ask returns
	// Pass on the loop, a worker may ask again.
	Ask func(method, path []byte) Verdict
	// Leave is called once for every admitted request, before the answer is written. It is called when the handler has
	// returned, or when the request turned out to be unreadable.
	Leave func()
}

// Options configure a Server. All except Gate and Direct must be set.
type Options struct {
	// Handler answers a request. It must not keep its context, nor anything of it, because the next request, of another
	// connection, uses the same memory. For the same reason it cannot hijack the connection: the answer is then 500. A
	// panic in it ends the process.
	Handler fasthttp.RequestHandler
	// ErrorHandler answers a request that was refused before it reached the handler. The context has nothing of the
	// request. The connection ends with the answer.
	ErrorHandler func(*fasthttp.RequestCtx, *Fault)
	Gate         *Gate
	Direct       *Direct

	MaxConnections int           // open connections; further ones get 503
	MaxBody        int           // bytes of a request's body
	MaxHead        int           // bytes of the request line and headers
	MaxUnderWay    int64         // bytes of all requests that arrive or are handled, but for small ones that arrive at once
	ReadTimeout    time.Duration // from a request's first byte to its last, ±0.1 s
	WriteTimeout   time.Duration // to write an answer, ±0.1 s
	IdleTimeout    time.Duration // before a connection's first request, and between requests, ±0.1 s
}

func (o *Options) validate() error {
	var faults []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("httpd: server: "+format, args...))
		}
	}
	require(o.Handler != nil && o.ErrorHandler != nil, "handler and error handler are required")
	if g := o.Gate; g != nil {
		require(g.Ask != nil && g.Leave != nil, "the gate must have Ask and Leave")
		require(g.Status == 204 || g.Status == 304, "the gate's status %d must have no body: 204 or 304", g.Status)
	}
	require(o.Direct == nil || o.Direct.Begin != nil, "the direct handler has no Begin")
	require(o.MaxConnections > 0, "max connections %d must be positive", o.MaxConnections)
	require(o.MaxBody > 0, "max body %d must be positive", o.MaxBody)
	require(o.MaxUnderWay >= int64(o.MaxBody+o.MaxHead), "max under way %d must be at least max body and max head (%d)", o.MaxUnderWay, o.MaxBody+o.MaxHead)
	require(o.MaxHead >= 256, "max head %d must be at least 256 bytes", o.MaxHead)
	require(o.ReadTimeout > 0 && o.WriteTimeout > 0 && o.IdleTimeout > 0,
		"timeouts must be positive, have read %v, write %v, idle %v", o.ReadTimeout, o.WriteTimeout, o.IdleTimeout)
	return errors.Join(faults...)
}

// counts are the counters of a server's connections.
type counts struct {
	open    atomic.Int64
	refused atomic.Uint64
	errors  [200]atomic.Uint64 // answers by status - 400
}

// failed counts an answer if its status is an error's.
func (c *counts) failed(status int) {
	if i := status - fasthttp.StatusBadRequest; i >= 0 && i < len(c.errors) {
		c.errors[i].Add(1)
	}
}

// UnderWay returns how many bytes of the budget MaxUnderWay are taken.
func (s *Server) UnderWay() int64 { return s.underWay.Load() }

// Errors returns how many answers had each status from 400 on.
func (s *Server) Errors() map[int]uint64 {
	all := map[int]uint64{}
	for i := range s.counts.errors {
		if n := s.counts.errors[i].Load(); n > 0 {
			all[fasthttp.StatusBadRequest+i] = n
		}
	}
	return all
}

// Connections returns how many connections are open.
func (s *Server) Connections() int { return int(s.counts.open.Load()) }

// Refused returns how many connections were refused because MaxConnections were open.
func (s *Server) Refused() uint64 { return s.counts.refused.Load() }

// handle runs the handler and undoes a hijack.
func (o *Options) handle(c *fasthttp.RequestCtx) {
	o.Handler(c)
	if c.Hijacked() {
		c.Hijack(nil)
		c.Response.Reset()
		c.SetStatusCode(fasthttp.StatusInternalServerError)
		c.SetConnectionClose()
	}
}

// codec returns a fasthttp server. Only its ServeConn is used (on Linux).
func codec(o *Options, handler fasthttp.RequestHandler, unreadable func(*fasthttp.RequestCtx, error)) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      handler,
		ErrorHandler:                 unreadable,
		Concurrency:                  math.MaxInt32, // the loop counts connections
		IdleTimeout:                  time.Hour,     // only to make fasthttp set a read deadline: see worker
		MaxRequestBodySize:           o.MaxBody,
		ReadBufferSize:               o.MaxHead,
		WriteBufferSize:              16 << 10, // so that most answers take one write
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		DisablePreParseMultipartForm: true,
		Logger:                       discard{},
	}
}

// discard drops fasthttp's log, which has a line for every connection that a peer breaks.
type discard struct{}

func (discard) Printf(string, ...any) {}
