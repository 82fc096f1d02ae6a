package httpd

import (
	"bytes"
	"math"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// frame is what scan finds out about a request: where it ends, or why it is refused.
type frame struct {
	kind  kind
	fault *Fault // why it is refused

	// Of simple and odd requests. The slices point into the scanned bytes.
	method, path []byte
	head         int  // bytes before the body
	body         int  // bytes of the body; 0 if it is chunked
	chunked      bool // the body is in chunks, so its length is not known yet
	hasHost      bool // it has a Host header that is not empty
	excepted     bool // it has one of the except headers

	// Of odd requests.
	target    []byte // in origin form, without what precedes the path
	authority []byte // of a target in absolute form, which takes precedence over Host; nil: none
	expects   bool   // it waits for 100 (Continue)
	closes    bool   // it asks for the end of the connection
	old       bool   // it is of HTTP/1.0
}

// size returns the bytes of a simple or odd request whose body is not chunked.
func (f *frame) size() int { return f.head + f.body }

type kind int

const (
	incomplete kind = iota // the head has not arrived whole
	simple                 // fasthttp can read the request as it is
	odd                    // a request that must be rewritten for fasthttp
	refused                // no request: fault says why
)

var (
	crlf      = []byte("\r\n")
	headEnd   = []byte("\r\n\r\n")
	version11 = []byte(" HTTP/1.1")
)

// scan examines the request that b begins with, strictly by RFC 9112. What other HTTP readers may read differently, it
// refuses: another reader before this server must not see other requests in the same bytes. It refuses all that net/http
// refuses, and also bare LFs, empty lines before a request, repeated Content-Length fields, and Transfer-Encoding in
// HTTP/1.0 or beside a Content-Length.
//
// A request is simple if it is of HTTP/1.1, has its target in origin form, and has no Transfer-Encoding, Expect or
// Trailer, and Connection only with keep-alive. except are header names that set frame.excepted.
func scan(b []byte, maxHead int, except []string) frame {
	end := bytes.Index(b, headEnd)
	if end < 0 || end+len(headEnd) > maxHead {
		return unfinished(b, maxHead)
	}
	s := scanner{frame: frame{kind: simple, head: end + len(headEnd)}, except: except}
	line, rest, clean, fault := cutLine(b[:end+len(crlf)])
	if fault == nil {
		fault = s.requestLine(line, clean)
	}
	for fault == nil && len(rest) > 0 {
		if line, rest, _, fault = cutLine(rest); fault == nil {
			fault = s.field(line)
		}
	}
	if fault == nil {
		fault = s.finish()
	}
	if fault != nil {
		return frame{kind: refused, fault: fault}
	}
	return s.frame
}

// unfinished returns the frame of a head that has no end within maxHead bytes. It refuses early what cannot become a
// request, such as a TLS handshake.
func unfinished(b []byte, maxHead int) frame {
	refuse := func(f *Fault) frame { return frame{kind: refused, fault: f} }
	if len(b) > 0 && !tokenBytes[b[0]] {
		return refuse(badRequestLine)
	}
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') || c == '\r' && i+1 < len(b) && b[i+1] != '\n' {
			return refuse(bareLineEnd)
		}
	}
	if len(b) < maxHead {
		return frame{kind: incomplete}
	}
	if bytes.IndexByte(b[:maxHead], '\n') < 0 {
		return refuse(longTarget)
	}
	return refuse(largeHead)
}

// scanner collects what the lines of a head say.
type scanner struct {
	frame
	except    []string
	host      []byte
	hosts     int
	lengths   int
	encodings int
	encoding  []byte
	unknown   bool // an expectation that is not 100-continue
	keepAlive bool
	trailer   bool // Trailer names a field that frames messages
}

// requestLine reads "GET /path HTTP/1.1".
func (s *scanner) requestLine(line []byte, clean bool) *Fault {
	rest, known := bytes.CutSuffix(line, version11)
	if !known {
		var fault *Fault
		if rest, fault = s.otherVersion(line); fault != nil {
			return fault
		}
	}
	method, target, spaced := bytes.Cut(rest, []byte{' '})
	if !clean || !spaced || !isToken(method) || len(target) == 0 || bytes.IndexByte(target, ' ') >= 0 {
		return badRequestLine
	}
	s.method, s.target = method, target
	switch {
	case target[0] == '/':
	case string(method) == "CONNECT":
		return noTunnel
	case len(target) == 1 && target[0] == '*' && string(method) == "OPTIONS":
	default:
		if !s.absolute(target) {
			return badTarget
		}
	}
	s.path, _, _ = bytes.Cut(s.target, []byte{'?'})
	if bytes.IndexByte(target, '#') >= 0 || !escaped(s.path) {
		return badTarget
	}
	return nil
}

// otherVersion cuts a version that is not HTTP/1.1 off a request line.
func (s *scanner) otherVersion(line []byte) (rest []byte, fault *Fault) {
	i := bytes.LastIndexByte(line, ' ')
	v := line[i+1:]
	if i < 0 || len(v) != len("HTTP/1.1") || string(v[:5]) != "HTTP/" || !isDigit(v[5]) || v[6] != '.' || !isDigit(v[7]) {
		return nil, badRequestLine
	}
	if v[5] != '1' {
		return nil, otherHTTP
	}
	s.kind, s.old = odd, v[7] == '0'
	return line[:i], nil
}

// absolute reads a target in absolute form: http://host/path.
func (s *scanner) absolute(target []byte) bool {
	i := bytes.Index(target, []byte("://"))
	if i < 0 || !fold(target[:i], "http") && !fold(target[:i], "https") {
		return false
	}
	rest := target[i+3:]
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	s.kind, s.authority, s.target = odd, rest[:end], rest[end:]
	return isAuthority(s.authority)
}

// field reads a header line.
func (s *scanner) field(line []byte) *Fault {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !isToken(line[:colon]) { // this covers continued lines, and whitespace before the colon
		return badField
	}
	name, value := line[:colon], trim(line[colon+1:])
	for _, n := range s.except {
		s.excepted = s.excepted || fold(name, n)
	}
	switch len(name) {
	case len("host"):
		if fold(name, "host") {
			s.hosts, s.host = s.hosts+1, value
		}
	case len("expect"):
		if fold(name, "expect") {
			s.kind = odd
			eachToken(value, func(t []byte) { s.expects, s.unknown = true, s.unknown || !fold(t, "100-continue") })
		}
	case len("trailer"):
		if fold(name, "trailer") {
			s.kind = odd
			eachToken(value, func(t []byte) {
				s.trailer = s.trailer || fold(t, "transfer-encoding") || fold(t, "trailer") || fold(t, "content-length")
			})
		}
	case len("connection"):
		if !fold(name, "connection") {
			break
		}
		if !fold(value, "keep-alive") {
			s.kind = odd
		}
		eachToken(value, func(t []byte) {
			s.closes = s.closes || fold(t, "close")
			s.keepAlive = s.keepAlive || fold(t, "keep-alive")
		})
	case len("content-length"):
		if fold(name, "content-length") {
			var ok bool
			if s.body, ok = digits(value); !ok {
				return badLength
			}
			s.lengths++
		}
	case len("transfer-encoding"):
		if fold(name, "transfer-encoding") {
			s.kind = odd
			s.encodings, s.encoding = s.encodings+1, value
		}
	}
	return nil
}

// finish checks what the lines say together.
func (s *scanner) finish() *Fault {
	if s.hosts > 1 || s.hosts == 0 && !s.old {
		return hostCount
	}
	if s.lengths > 1 {
		return badLength
	}
	if !isHost(s.host) {
		return badHost
	}
	s.hasHost = len(s.host) > 0
	if s.kind == simple {
		return nil
	}
	if s.old {
		s.closes = s.closes || !s.keepAlive
		s.expects = s.expects && s.unknown // RFC 9110, 10.1.1: 100-continue is ignored
	}
	if s.unknown {
		return unknownExpectation
	}
	if s.encodings == 0 {
		return nil
	}
	if s.encodings > 1 || s.lengths > 0 || s.old {
		return badEncoding
	}
	if !fold(s.encoding, "chunked") {
		return encodingFault(s.encoding)
	}
	if s.chunked = true; s.trailer {
		return badTrailer
	}
	return nil
}

// encodingFault returns why a Transfer-Encoding that is not just chunked is refused: 501 if the body's end could be
// found, so that another server might read it.
func encodingFault(value []byte) *Fault {
	last, chunked := false, 0
	eachToken(value, func(t []byte) {
		if last = fold(t, "chunked"); last {
			chunked++
		}
	})
	if last && chunked == 1 {
		return unknownEncoding
	}
	return badEncoding
}

// cutLine cuts off the first line. b ends in CRLF. clean says that the line has no tab; other control characters, and CRs
// or LFs that are not of a CRLF, are a fault.
func cutLine(b []byte) (line, rest []byte, clean bool, fault *Fault) {
	end := bytes.IndexByte(b, '\n')
	if end == 0 || b[end-1] != '\r' {
		return nil, nil, false, bareLineEnd
	}
	line = b[:end-1]
	clean, ok := printable(line)
	if !ok {
		return nil, nil, false, badCharacter
	}
	return line, b[end+1:], clean, nil
}

// eachToken calls f with the elements of a list, without the empty ones.
func eachToken(list []byte, f func([]byte)) {
	for len(list) > 0 {
		var element []byte
		element, list, _ = bytes.Cut(list, []byte{','})
		if element = trim(element); len(element) > 0 {
			f(element)
		}
	}
}

// digits reads a number of decimal digits. One that is too large for any body becomes math.MaxInt32.
func digits(b []byte) (n int, ok bool) {
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		if n = 10*n + int(c-'0'); n > math.MaxInt32 {
			n = math.MaxInt32
		}
	}
	return n, len(b) > 0
}

// isAuthority reports whether b is a host name, an address or a bracketed IPv6 address, with or without a port.
func isAuthority(b []byte) bool {
	host, port := b, []byte(nil)
	if i := bytes.LastIndexByte(b, ':'); i > bytes.LastIndexByte(b, ']') {
		host, port = b[:i], b[i+1:]
	}
	for _, c := range port {
		if !isDigit(c) {
			return false
		}
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		a, err := netip.ParseAddr(string(host[1 : len(host)-1]))
		return err == nil && a.Is6() && a.Zone() == ""
	}
	for _, c := range host {
		if !(isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_' || c == '~') {
			return false
		}
	}
	return len(host) > 0
}

// Fault is why a request was refused before it reached the handler.
type Fault struct {
	Status int    // of the answer, 400 or above
	Reason string // a sentence for the peer
}

// Error implements error.
func (f *Fault) Error() string { return f.Reason }

func bad(reason string) *Fault { return &Fault{fasthttp.StatusBadRequest, reason} }

var (
	badRequestLine = bad("the request line is not METHOD TARGET HTTP/1.1")
	badTarget      = bad("the target is neither a path nor an http URL")
	badField       = bad("a header line is not NAME: VALUE; names are followed by the colon, and lines are not continued")
	bareLineEnd    = bad("a CR or LF is not of a CRLF")
	badCharacter   = bad("the head has a control character")
	badLength      = bad("Content-Length is repeated, or is not a number of digits")
	badEncoding    = bad("Transfer-Encoding is repeated, does not end in one chunked, is of HTTP/1.0, or is beside Content-Length")
	badTrailer     = bad("Trailer names a field that a trailer must not have")
	badHost        = bad("Host is not a host")
	hostCount      = bad("a request must have one Host header")
	badChunk       = bad("the chunked body is malformed")
	longChunkLines = bad("the chunk extensions or the trailer are too long")
	cutOff         = bad("the connection ended within the request")

	tookTooLong        = &Fault{fasthttp.StatusRequestTimeout, "the request took too long to arrive"}
	largeBody          = &Fault{fasthttp.StatusRequestEntityTooLarge, "the body is too large"}
	longTarget         = &Fault{fasthttp.StatusRequestURITooLong, "the request line is too long"}
	unknownExpectation = &Fault{fasthttp.StatusExpectationFailed, "the only expectation is 100-continue"}
	largeHead          = &Fault{fasthttp.StatusRequestHeaderFieldsTooLarge, "the headers are too large"}
	noTunnel           = &Fault{fasthttp.StatusNotImplemented, "CONNECT is not served"}
	unknownEncoding    = &Fault{fasthttp.StatusNotImplemented, "the only Transfer-Encoding is chunked"}
	noMemory           = &Fault{fasthttp.StatusServiceUnavailable, "too many bytes of requests are under way; try again"}
	otherHTTP          = &Fault{fasthttp.StatusHTTPVersionNotSupported, "the versions are HTTP/1.1 and HTTP/1.0"}
)
