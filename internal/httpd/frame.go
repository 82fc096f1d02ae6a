package httpd

import "bytes"

// frame is a request as the loop sees it, without reading more of it than it must.
type frame struct {
	kind         kind
	method, path []byte // of a whole or partial simple one; they point into what was scanned
	size         int    // bytes from the request line to the body's last; 0 unless simple
	head         int    // of these, those before the body
	hosted       bool   // it has a Host
	but          bool   // it has a header that was asked about
}

type kind int

const (
	unfinished kind = iota // the head has not come whole
	simple                 // its size is certain
	intricate              // fasthttp must say
)

var (
	crlf    = []byte("\r\n")
	headEnd = []byte("\r\n\r\n")
	version = []byte(" HTTP/1.1")
)

// scan looks at the request that b begins with. It calls simple only what every reader of HTTP must take for the same
// number of bytes: HTTP/1.1, lines that end in CRLF and have no other CR, no continued lines, names of letters, digits
// and '-', at most one Content-Length of digits alone, no Transfer-Encoding, Expect or Upgrade, and Connection only as
// keep-alive. Whether it is valid besides is not looked at. but are names of headers to tell of.
func scan(b []byte, maxHead int, but []string) frame {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) >= maxHead {
			return frame{kind: intricate} // and refused
		}
		return frame{kind: unfinished}
	}
	if end+len(headEnd) > maxHead {
		return frame{kind: intricate}
	}
	line, rest, ok := cutLine(b[:end+len(crlf)])
	line, known := bytes.CutSuffix(line, version)
	method, target, spaced := bytes.Cut(line, []byte{' '})
	if !ok || !known || !spaced || len(method) == 0 || len(target) == 0 || bytes.IndexByte(target, ' ') >= 0 {
		return frame{kind: intricate}
	}
	body, seen := 0, false
	f := frame{kind: simple, method: method, head: end + len(headEnd)}
	for len(rest) > 0 {
		line, rest, ok = cutLine(rest)
		colon := bytes.IndexByte(line, ':')
		if !ok || colon <= 0 || !plainName(line[:colon]) {
			return frame{kind: intricate} // a continued line among them
		}
		name, value := line[:colon], line[colon+1:]
		for _, n := range but {
			f.but = f.but || fold(name, n)
		}
		switch len(name) {
		case len("host"):
			f.hosted = f.hosted || fold(name, "host") && len(bytes.TrimLeft(value, " ")) > 0
		case len("expect"):
			if fold(name, "expect") {
				return frame{kind: intricate}
			}
		case len("upgrade"):
			if fold(name, "upgrade") {
				return frame{kind: intricate}
			}
		case len("connection"):
			if fold(name, "connection") && !fold(bytes.TrimLeft(value, " "), "keep-alive") {
				return frame{kind: intricate}
			}
		case len("content-length"):
			if !fold(name, "content-length") {
				continue
			}
			if body, ok = digits(bytes.TrimLeft(value, " ")); !ok || seen {
				return frame{kind: intricate}
			}
			seen = true
		case len("transfer-encoding"):
			if fold(name, "transfer-encoding") {
				return frame{kind: intricate}
			}
		}
	}
	f.path, _, _ = bytes.Cut(target, []byte{'?'})
	f.size = f.head + body
	return f
}

// cutLine cuts the first line off, and reports whether its only CR is that of its CRLF, as it must be: some readers take
// another for a line's end. b ends in CRLF.
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

// fold reports whether b is lower but for capitals.
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
