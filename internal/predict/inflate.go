package predict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"
)

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

// inflate replaces a gzip body by what it holds, in w's memory. It refuses a body that holds more than MaxBody bytes. Bodies
// of other encodings stay as they are.
func (s *Server) inflate(c *fasthttp.RequestCtx, w *work) (outcome, error) {
	if e := c.Request.Header.ContentEncoding(); !bytes.EqualFold(e, []byte("gzip")) && !bytes.EqualFold(e, []byte("x-gzip")) {
		return outcomeOK, nil
	}
	z := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(z)
	w.inflated.Reset()
	err := z.Reset(bytes.NewReader(c.Request.Body()))
	if err == nil {
		_, err = io.Copy(&w.inflated, io.LimitReader(z, int64(s.options.MaxBody)+1))
	}
	switch {
	case err != nil:
		return outcomeInvalid, fmt.Errorf("the body is not gzip, as its content encoding says: %w", err)
	case w.inflated.Len() > s.options.MaxBody:
		return outcomeTooLarge, errors.New("the body inflates to more than predict.body_bytes; send fewer rows at a time (or raise it)")
	}
	c.Request.SetBodyRaw(w.inflated.Bytes())
	c.Request.Header.Del(fasthttp.HeaderContentEncoding)
	return outcomeOK, nil
}
