package httpd

import (
	"time"

	"github.com/valyala/fasthttp"
)

// Direct handles requests on the loop, without a worker. It is a shortcut: the Handler must be able to answer the same
// requests. Requests that Direct may not have or does not take go to the Handler. Without a loop (other systems than
// Linux) all do.
type Direct struct {
	// Begin takes a request, to be answered by call.Answer, or returns false without any effect. It is called on the
	// loop, one call at a time. It must not block and should return within microseconds, because all connections wait.
	// It gets only requests that arrived whole and alone, have a Host header, and for which the Gate returned Pass.
	Begin func(call *Call) bool
	// ExceptHeaders are names of headers, in lower case. A request with one of them goes to the Handler.
	ExceptHeaders []string
}

// Call is a request that Begin took. A connection has at most one, and is not read before it is answered.
type Call struct {
	// The request's. They are valid until Begin returns. Path is as it was sent, with its escapes but without the
	// query.
	Method, Path, Body []byte
	// Received is when the request's first byte was read.
	Received time.Time

	loop   *loop
	conn   *conn
	out    []byte
	closes bool // the connection ends with the answer
}

// Answer answers with a body and a type such as "application/json". It copies the body and does not block. 429
// and 503 tell the peer to try again after a second. It must be
// called once for each call that Begin took, from any goroutine; the call must not be used afterwards. If the peer does
// not read its answers and the socket's buffer is full, the connection is closed.
func (c *Call) Answer(status int, contentType string, body []byte) {
	out := append(c.out[:0], "HTTP/1.1 "...)
	if status == fasthttp.StatusOK {
		out = append(out, "200 OK"...)
	} else {
		out = fasthttp.AppendUint(out, status)
		out = append(append(out, ' '), fasthttp.StatusMessage(status)...)
	}
	out = append(append(out, "\r\nDate: "...), *c.loop.date.Load()...)
	out = append(append(out, "\r\nContent-Type: "...), contentType...)
	out = fasthttp.AppendUint(append(out, "\r\nContent-Length: "...), len(body))
	if status >= fasthttp.StatusBadRequest {
		c.loop.server.counts.failed(status)
	}
	if status == fasthttp.StatusTooManyRequests || status == fasthttp.StatusServiceUnavailable {
		out = append(out, "\r\nRetry-After: 1"...)
	}
	// A request that has arrived meanwhile is answered too.
	if c.closes = c.loop.server.draining.Load() && c.conn.state.Load() != pending; c.closes {
		out = append(out, "\r\nConnection: close"...)
	}
	c.out = append(append(out, "\r\n\r\n"...), body...)
	c.loop.answered(c.conn)
}
