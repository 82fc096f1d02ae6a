package main

import (
	"errors"
	"strings"
	"testing"
)

// A response in pieces of any size is complete at its last byte and not before.
func TestAnswer(t *testing.T) {
	f := func(name, response string, status int, closes bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(response); size++ {
				var a answer
				for at := 0; at < len(response); at += size {
					end := min(at+size, len(response))
					whole, err := a.add([]byte(response[at:end]))
					if err != nil || whole != (end == len(response)) {
						t.Fatalf("in pieces of %d: whole %v after %d of %d bytes, error %v", size, whole, end, len(response), err)
					}
				}
				if a.status != status || a.closes != closes {
					t.Fatalf("in pieces of %d: status %d, closes %v", size, a.status, a.closes)
				}
				a.reset()
				if whole, err := a.add([]byte("HTTP/1.1 204 No Content\r\n\r\n")); !whole || err != nil || a.status != 204 || a.closes {
					t.Fatalf("the next answer: %+v, error %v", a, err)
				}
			}
		})
	}
	f("a body", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}", 200, false)
	f("no body", "HTTP/1.1 200 OK\r\nContent-Length:0\r\n\r\n", 200, false)
	f("no body, no length", "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", 204, false)
	f("closed after it", "HTTP/1.1 503 Service Unavailable\r\nConnection: Close\r\nContent-Length: 3\r\n\r\nbye", 503, true)
	f("a 408", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 408, true)
	f("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n00A;x=y\r\n:\"\r\n0\r\n\r\n\"\r\n0\r\n\r\n", 200, false)
	f("no chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n", 200, false)
}

// A 408 that arrives together with the answer before it ends the connection and is not an answer.
func TestAnswerWithIdleTimeout(t *testing.T) {
	var a answer
	whole, err := a.add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 408 Request Timeout\r\n"))
	if !whole || err != nil || a.status != 200 || !a.closes {
		t.Errorf("whole %v, error %v, status %d, closes %v", whole, err, a.status, a.closes)
	}
}

func TestBadAnswer(t *testing.T) {
	f := func(name, response string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var a answer
			if whole, err := a.add([]byte(response)); whole || !errors.Is(err, errBadAnswer) {
				t.Errorf("whole %v, error %v", whole, err)
			}
		})
	}
	f("another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n")
	f("another version", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
	f("no status", "HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n")
	f("a body until the end of the connection", "HTTP/1.1 200 OK\r\n\r\n")
	f("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
	f("more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab")
	f("a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n")
	f("a chunk of negative size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
	f("a head without end", "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", maxAnswer))
}
