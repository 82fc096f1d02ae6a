package openrtb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// errTooLarge: the decompressed body is larger than allowed.
var errTooLarge = errors.New("openrtb: body is too large")

var (
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	gzipWriters = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}}
)

// inflate appends the decompressed gzip data of from to dst. If that is more than limit bytes, it returns errTooLarge.
func inflate(dst *bytes.Buffer, from []byte, limit int) error {
	z := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(z)
	if err := z.Reset(bytes.NewReader(from)); err != nil {
		return fmt.Errorf("openrtb: body is not gzip: %w", err)
	}
	n, err := io.Copy(dst, io.LimitReader(z, int64(limit)+1))
	switch {
	case err != nil:
		return fmt.Errorf("openrtb: cannot inflate the body: %w", err)
	case n > int64(limit):
		return errTooLarge
	}
	return nil
}

// deflate writes from to dst as gzip.
func deflate(dst io.Writer, from []byte) error {
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
	z.Reset(dst)
	_, err := z.Write(from)
	if err := errors.Join(err, z.Close()); err != nil {
		return fmt.Errorf("openrtb: cannot compress the answer: %w", err)
	}
	return nil
}

// acceptsGzip reports whether an Accept-Encoding header has gzip, x-gzip or * with a weight above 0.
func acceptsGzip(header string) bool {
	accepted := false
	for header != "" {
		var coding string
		coding, header, _ = strings.Cut(header, ",")
		name, parameters, _ := strings.Cut(coding, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "x-gzip" && name != "*" {
			continue
		}
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(parameters, " ", "")), "q="); ok {
			if parsed, err := strconv.ParseFloat(q, 64); err == nil {
				weight = parsed
			}
		}
		if name != "*" {
			return weight > 0
		}
		accepted = weight > 0
	}
	return accepted
}
