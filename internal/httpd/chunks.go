package httpd

import (
	"bytes"
	"math"

	"github.com/valyala/fasthttp"
)

// chunkLinesMost bounds the bytes of chunk extensions, and those of the trailer, of one body.
const chunkLinesMost = 4 << 10

// chunks reads a chunked body as it arrives, strictly by RFC 9112, 7.1. The zero value is ready for a body.
type chunks struct {
	state  chunkState
	size   int // bytes of the chunk that have not been read
	digits int // of the chunk's size
	lines  int // bytes of extensions and of the trailer
}

type chunkState uint8

const (
	chunkSize     chunkState = iota // the digits of a size
	chunkSpace                      // whitespace before an extension
	chunkExt                        // an extension
	chunkSizeLF                     // the LF after a size
	chunkData                       // a chunk's bytes
	chunkDataCR                     // the CR after them
	chunkDataLF                     // and the LF
	trailerStart                    // the beginning of a line of the trailer
	trailerName                     // the name of a field
	trailerValue                    // its value
	trailerLF                       // the LF after it
	trailerLastLF                   // the LF of the empty line at the end
	chunksDone                      // the body was read
)

// chunkSizeMost bounds a chunk, so that sums of sizes do not overflow.
const chunkSizeMost = math.MaxInt32

// read reads from the beginning of b. It returns the next bytes of the body, which point into b, and what it has not read:
// nothing, or the bytes after the body when its state is chunksDone, or more to read.
func (d *chunks) read(b []byte) (body, rest []byte, fault *Fault) {
	for i := 0; i < len(b); i++ {
		switch d.state {
		case chunkData:
			n := min(d.size, len(b)-i)
			if d.size -= n; d.size == 0 {
				d.state = chunkDataCR
			}
			return b[i : i+n], b[i+n:], nil
		case chunksDone:
			return nil, b[i:], nil
		}
		if fault := d.step(b[i]); fault != nil {
			return nil, nil, fault
		}
	}
	return nil, nil, nil
}

// step reads one byte that is not of the body.
func (d *chunks) step(c byte) *Fault {
	text := c == '\t' || c >= ' ' && c != 0x7f
	switch d.state {
	case chunkSize:
		v, ok := hexDigit(c)
		if !ok {
			return d.endSize(c)
		}
		if d.digits++; d.digits > 16 {
			return badChunk
		}
		d.size = min(d.size<<4|int(v), chunkSizeMost)
		return nil
	case chunkSpace, chunkExt:
		return d.extension(c, text)
	case chunkSizeLF:
		if d.state = chunkData; d.size == 0 {
			d.state = trailerStart
		}
		d.digits = 0
		return expect(c, '\n')
	case chunkDataCR:
		d.state = chunkDataLF
		return expect(c, '\r')
	case chunkDataLF:
		d.state = chunkSize
		return expect(c, '\n')
	case trailerStart:
		if c == '\r' {
			d.state = trailerLastLF
			return nil
		}
		if d.state = trailerName; !tokenBytes[c] {
			return badChunk
		}
	case trailerName:
		if c == ':' {
			d.state = trailerValue
		} else if !tokenBytes[c] {
			return badChunk
		}
	case trailerValue:
		if c == '\r' {
			d.state = trailerLF
		} else if !text {
			return badChunk
		}
	case trailerLF:
		d.state = trailerStart
		return expect(c, '\n')
	case trailerLastLF:
		d.state = chunksDone
		return expect(c, '\n')
	}
	return d.count()
}

// endSize reads what follows the digits of a size.
func (d *chunks) endSize(c byte) *Fault {
	switch {
	case d.digits == 0:
		return badChunk
	case c == '\r':
		d.state = chunkSizeLF
	case c == ';':
		d.state = chunkExt
	case c == ' ' || c == '\t':
		d.state = chunkSpace
	default:
		return badChunk
	}
	return nil
}

// extension reads a chunk's extension, or whitespace before it. Nobody uses extensions, so their grammar is not checked.
func (d *chunks) extension(c byte, text bool) *Fault {
	switch {
	case d.state == chunkSpace && c == ';':
		d.state = chunkExt
	case d.state == chunkSpace && c != ' ' && c != '\t':
		return badChunk
	case c == '\r':
		d.state = chunkSizeLF
	case !text:
		return badChunk
	}
	return d.count()
}

func (d *chunks) count() *Fault {
	if d.lines++; d.lines > chunkLinesMost {
		return longChunkLines
	}
	return nil
}

func expect(c, want byte) *Fault {
	if c != want {
		return badChunk
	}
	return nil
}

// rewrite appends to dst the head of an odd request as fasthttp reads it safely: with a length instead of chunks, its
// target in origin form, and without the headers that concern only this connection.
func rewrite(dst, head []byte, f *frame, body int) []byte {
	dst = append(append(dst, f.method...), ' ')
	if len(f.target) == 0 || f.target[0] == '?' {
		dst = append(dst, '/')
	}
	dst = append(dst, f.target...)
	if f.old {
		dst = append(dst, " HTTP/1.0\r\n"...)
	} else {
		dst = append(dst, " HTTP/1.1\r\n"...)
	}
	if f.authority != nil {
		dst = append(append(append(dst, "Host: "...), f.authority...), crlf...)
	}
	_, lines, _ := bytes.Cut(head, crlf)
	for {
		line, rest, _ := bytes.Cut(lines, crlf)
		if len(line) == 0 {
			break
		}
		lines = rest
		name, _, _ := bytes.Cut(line, []byte{':'})
		if !ofConnection(name) && (f.authority == nil || !fold(name, "host")) {
			dst = append(append(dst, line...), crlf...)
		}
	}
	switch {
	case f.closes:
		dst = append(dst, "Connection: close\r\n"...)
	case f.old:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	if body > 0 || f.chunked {
		dst = append(fasthttp.AppendUint(append(dst, "Content-Length: "...), body), crlf...)
	}
	return append(dst, crlf...)
}

// ofConnection reports whether rewrite leaves out a header.
func ofConnection(name []byte) bool {
	for _, n := range [...]string{"connection", "content-length", "transfer-encoding", "trailer", "te", "expect", "upgrade", "keep-alive"} {
		if fold(name, n) {
			return true
		}
	}
	return false
}
