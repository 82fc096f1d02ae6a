package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// answer parses one HTTP/1.1 response as it arrives. It knows the part of the protocol that servers under test use.
type answer struct {
	buf    []byte // what has arrived
	head   int    // length of the head; 0 until it is whole
	status int
	length int  // of the body; -1: chunked
	closes bool // the server closes the connection after it
}

var errBadAnswer = errors.New("not an HTTP/1.1 response")

// idleTimeout begins the response that some servers send before they close an idle connection.
var idleTimeout = []byte("HTTP/1.1 408 ")

const maxAnswer = 1 << 20

// add appends what arrived. whole reports that the response is complete.
func (a *answer) add(p []byte) (whole bool, err error) {
	a.buf = append(a.buf, p...)
	if len(a.buf) > maxAnswer {
		return false, fmt.Errorf("%w of at most %d bytes", errBadAnswer, maxAnswer)
	}
	if a.head == 0 {
		end := bytes.Index(a.buf, []byte("\r\n\r\n"))
		if end < 0 {
			return false, nil
		}
		a.head = end + 4
		if err := a.parseHead(a.buf[:end+2]); err != nil {
			return false, err
		}
	}
	body := a.buf[a.head:]
	if a.length >= 0 {
		if len(body) > a.length {
			if bytes.HasPrefix(body[a.length:], idleTimeout) {
				a.closes = true
				return true, nil
			}
			return false, fmt.Errorf("%w: %d bytes too many", errBadAnswer, len(body)-a.length)
		}
		return len(body) == a.length, nil
	}
	return chunkedWhole(body)
}

func (a *answer) parseHead(head []byte) error {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return fmt.Errorf("%w: it begins %.40q", errBadAnswer, line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return fmt.Errorf("%w: status %q", errBadAnswer, line)
	}
	a.status, a.length, a.closes = status, 0, false
	known := status == 204 || status == 304
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.Atoi(string(value))
			if err != nil || n < 0 {
				return fmt.Errorf("%w: Content-Length %q", errBadAnswer, value)
			}
			a.length, known = n, true
		case bytes.EqualFold(name, []byte("Transfer-Encoding")) && bytes.EqualFold(value, []byte("chunked")):
			a.length, known = -1, true
		case bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(value, []byte("close")):
			a.closes = true
		}
	}
	if !known {
		return fmt.Errorf("%w with Content-Length or chunks", errBadAnswer)
	}
	return nil
}

// chunkedWhole reports whether a chunked body is complete. It knows no trailers.
func chunkedWhole(body []byte) (bool, error) {
	for {
		end := bytes.Index(body, []byte("\r\n"))
		if end < 0 {
			return false, nil
		}
		size, _, _ := bytes.Cut(body[:end], []byte(";"))
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			return false, fmt.Errorf("%w: chunk of size %q", errBadAnswer, size)
		}
		next := end + 2 + int(n) + 2
		if len(body) < next {
			return false, nil
		}
		if n == 0 {
			return true, nil
		}
		body = body[next:]
	}
}

func (a *answer) reset() { *a = answer{buf: a.buf[:0]} }
