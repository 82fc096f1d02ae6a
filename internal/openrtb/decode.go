package openrtb

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/decoder"

	"gavel/internal/auction"
)

// Timing bounds how long an auction may take. The zero value of a field is its default.
type Timing struct {
	Default time.Duration // tmax of a request that names none; 100 ms
	Min     time.Duration // a smaller tmax is raised to it, for it must be a mistake; 10 ms
	Max     time.Duration // a larger tmax is cut to it; 1 s
	Margin  time.Duration // kept for the way back and for writing, at most half of tmax; 10 ms
}

func (t *Timing) fill() error {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Default, 100 * time.Millisecond}, {&t.Min, 10 * time.Millisecond},
		{&t.Max, time.Second}, {&t.Margin, 10 * time.Millisecond},
	} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	var faults []error
	if t.Min < 0 || t.Margin < 0 {
		faults = append(faults, fmt.Errorf("openrtb: timing: min %v and margin %v must not be negative", t.Min, t.Margin))
	}
	if t.Min > t.Max || t.Default < t.Min || t.Default > t.Max {
		faults = append(faults, fmt.Errorf("openrtb: timing: want min ≤ default ≤ max, have %v, %v, %v", t.Min, t.Default, t.Max))
	}
	return errors.Join(faults...)
}

// allowed is how long the exchange waits for the answer to a request with this tmax, in milliseconds.
func (t *Timing) allowed(tmax int64) time.Duration {
	if tmax <= 0 {
		return t.Default
	}
	return min(max(time.Duration(min(tmax, 1e6))*time.Millisecond, t.Min), t.Max)
}

// margin is what of allowed is kept for the way back.
func (t *Timing) margin(allowed time.Duration) time.Duration { return min(t.Margin, allowed/2) }

// DecodeOptions is what a request does not say of itself.
type DecodeOptions struct {
	Exchange string    // name of the counterpart, "" is "default"
	Received time.Time // when the first byte was read
	Timing   Timing
}

// RequestError says why a body is not a bid request.
type RequestError struct {
	Place   string // path in the object, as in "imp[2].id"; "" for the body as a whole
	Problem string
}

func (e *RequestError) Error() string {
	if e.Place == "" {
		return "openrtb: bid request " + e.Problem
	}
	return "openrtb: bid request: " + e.Place + " " + e.Problem
}

// strict decodes JSON that has the types OpenRTB asks for. Keys match in any case, as in encoding/json.
var strict = sonic.ConfigDefault

// wirePool keeps the request struct itself; all it points to is made anew for every request.
var wirePool = sync.Pool{New: func() any { return new(wireRequest) }}

// Pretouch compiles the decoder ahead of the first request, which would otherwise wait some milliseconds for it.
func Pretouch() error {
	if err := sonic.Pretouch(reflect.TypeFor[wireRequest]()); err != nil {
		return fmt.Errorf("openrtb: cannot compile the JSON decoder: %w", err)
	}
	return nil
}

// Decode reads a bid request of OpenRTB 2.5 or 2.6 into dst, which is reset first and normalised as its comments say.
// It copies body, once: the caller may reuse it. coerced says that some value had another JSON type than OpenRTB asks
// for and was read for what it means ("100" or 100.0 for 100, true for 1, "a" for ["a"]); a value that means nothing
// there counts as absent, as do unknown keys. Impressions without a format we know are left out, as are those that
// repeat an id and those past MaxImpressions. A body that is no bid request yields a *RequestError that names the place.
func Decode(body []byte, dst *auction.Request, o *DecodeOptions) (coerced bool, err error) {
	dst.Reset()
	w := wirePool.Get().(*wireRequest)
	defer func() {
		*w = wireRequest{}
		wirePool.Put(w)
	}()
	own := string(body)
	if err := strict.UnmarshalFromString(own, w); err != nil {
		coerced = true
		*w = wireRequest{}
		if err := coerceRequest(own, w); err != nil {
			return true, err
		}
	}
	if w.ID == "" {
		return coerced, &RequestError{"id", "is missing"}
	}
	if len(w.Imp) == 0 {
		return coerced, &RequestError{"imp", "is missing or empty"}
	}
	for i := range w.Imp {
		if w.Imp[i].ID == "" {
			return coerced, &RequestError{fmt.Sprintf("imp[%d].id", i), "is missing"}
		}
	}
	normalise(w, dst, o)
	return coerced, nil
}

// syntaxError turns what the JSON decoder reports into an error that quotes nothing of the request.
func syntaxError(err error) *RequestError {
	var syntax decoder.SyntaxError
	if errors.As(err, &syntax) {
		return &RequestError{"", fmt.Sprintf("is not JSON: error at byte %d", syntax.Pos)}
	}
	return &RequestError{"", "is not JSON"}
}
