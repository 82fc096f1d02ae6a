package httpd

import "bytes"

// frame is what the loop knows of a request. The loop parses no more than this.
type frame struct {
	kind         kind
	method, path []byte // of a simple request, whole or not; they point into the scanned bytes
	size         int    // bytes of the request line, headers and body; 0 unless simple
	head         int    // bytes before the body
	hasHost      bool   // it has a Host header
	excepted     bool   // it has one of the except headers
}

type kind int

const (
	incomplete kind = iota // the head has not arrived whole
	simple                 // its size is certain
	uncertain              // only fasthttp can tell
)

var (
	crlf    = []byte("\r\n")
	headEnd = []byte("\r\n\r\n")
	version = []byte(" HTTP/1.1")
)

// scan examines the request that b begins with. It returns simple only if every HTTP reader must take the request for
// the same number of bytes:
//
//   - HTTP/1.1, lines that end in CRLF and have no other CR, no continued lines;
//   - header names of letters, digits and '-';
//   - at most one Content-Length, of digits only;
//   - no Transfer-Encoding, Expect or Upgrade, and Connection only with keep-alive.
//
// It does not check whether the request is valid otherwise. except are header names that set frame.excepted.
func scan(b []byte, maxHead int, except []string) frame {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) >= maxHead {
			return frame{kind: uncertain} // fasthttp refuses it
		}
		return frame{kind: incomplete}
	}
	if end+len(headEnd) > maxHead {
		return frame{kind: uncertain}
	}
	line, rest, ok := cutLine(b[:end+len(crlf)])
	line, known := bytes.CutSuffix(line, version)
	method, target, spaced := bytes.Cut(line, []byte{' '})
	if !ok || !known || !spaced || len(method) == 0 || len(target) == 0 || bytes.IndexByte(target, ' ') >= 0 {
		return frame{kind: uncertain}
	}
	body, seen := 0, false
	f := frame{kind: simple, method: method, head: end + len(headEnd)}
	for len(rest) > 0 {
		line, rest, ok = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		if !ok || colon <= 0 || !plainName(line[:colon]) {
			return frame{kind: uncertain} // this covers continued lines
		}
		name, value := line[:colon], line[colon+1:]
		for _, n := range except {
			f.excepted = f.excepted || fold(name, n)
		}
		switch len(name) {
		case len("host"):
			f.hasHost = f.hasHost || fold(name, "host") && len(bytes.TrimLeft(value, " ")) > 0
		case len("expect"):
			if fold(name, "expect") {
				return frame{kind: uncertain}
			}
		case len("upgrade"):
			if fold(name, "upgrade") {
				return frame{kind: uncertain}
			}
		case len("connection"):
			if fold(name, "connection") && !fold(bytes.TrimLeft(value, " "), "keep-alive") {
				return frame{kind: uncertain}
			}
		case len("content-length"):
			if !fold(name, "content-length") {
				continue
			}
			if body, ok = digits(bytes.TrimLeft(value, " ")); !ok || seen {
				return frame{kind: uncertain}
			}
			seen = true
		case len("transfer-encoding"):
			if fold(name, "transfer-encoding") {
				return frame{kind: uncertain}
			}
		}
	}
	f.path, _, _ = bytes.Cut(target, []byte{'?'})
	f.size = f.head + body
	return f
}

// cutLine cuts off the first line. ok is false if the line has another CR than that of its CRLF, because some readers
// take that CR for the end of a line. b ends in CRLF.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end == 0 || bytes.IndexByte(b[:end], '\r') != end-1 {
		return nil, nil, false
	}
	return b[:end-1], b[end+1:], true
}

// plainName reports whether name is of letters, digits and '-'.
func plainName(name []byte) bool {
	for _, c := range name {
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// fold reports whether b, in lower case, equals lower.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// digits reads a number of one to nine decimal digits.
func digits(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
