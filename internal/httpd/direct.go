package httpd

import (
	"time"

	"github.com/valyala/fasthttp"
)

// Direct handles requests on the loop, without a worker. It is a shorter way, never the only one: requests that it can't
// have or does not take go to the Handler, as all do where there is no loop.
type Direct struct {
	// Begin takes a request, to be answered by call.Answer, or returns false and has done nothing. It is called one at a
	// time, on the loop: it must not block, and should be done within microseconds, for all connections wait. It is asked
	// of requests that have come whole and alone, have a Host, and are let pass by the Gate without being counted.
	Begin func(call *Call) bool
	// But are names of headers, lower case, that Begin is not told of: requests that have one go to the Handler.
	But []string
}

// Call is a request under way that Begin took. There is one a connection, which is not read meanwhile.
type Call struct {
	// Of the request, to be used until Begin returns. Path is as it was sent, escapes and all, but without the query.
	Method, Path, Body []byte
	// Received is when its first byte was read.
	Received time.Time

	loop *loop
	conn *conn
	out  []byte
}

// Answer answers with a body, which is copied, and a type such as "application/json". It must be called once for each call
// that Begin took, by any goroutine, and does not block; the call must not be used afterwards. A peer that reads no answers,
// so that this one finds no room at once, loses its connection.
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
	if c.loop.server.stopping.Load() {
		out = append(out, "\r\nConnection: close"...)
	}
	c.out = append(append(out, "\r\n\r\n"...), body...)
	c.loop.answered(c.conn)
}
