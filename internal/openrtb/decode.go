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
	Default time.Duration // for a request without tmax; 100 ms
	Min     time.Duration // a smaller tmax is taken for a mistake and raised to it; 10 ms
	Max     time.Duration // a larger tmax is reduced to it; 1 s
	Margin  time.Duration // reserved for writing the answer and the network, at most half of tmax; 10 ms
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

// allowed returns how long the exchange waits for an answer. tmax is in milliseconds.
func (t *Timing) allowed(tmax int64) time.Duration {
	if tmax <= 0 {
		return t.Default
	}
	return min(max(time.Duration(min(tmax, 1e6))*time.Millisecond, t.Min), t.Max)
}

// margin returns the part of allowed that is reserved for writing the answer and the network.
func (t *Timing) margin(allowed time.Duration) time.Duration { return min(t.Margin, allowed/2) }

// DecodeOptions is what Decode must know apart from the body.
type DecodeOptions struct {
	Exchange string    // name of the exchange; "" means "default"
	Received time.Time // when the first byte was read
	Timing   Timing
}

// RequestError says why a body is not a bid request.
type RequestError struct {
	Place   string // path in the object, as in "imp[2].id"; "" for the whole body
	Problem string
}

func (e *RequestError) Error() string {
	if e.Place == "" {
		return "openrtb: bid request " + e.Problem
	}
	return "openrtb: bid request: " + e.Place + " " + e.Problem
}

// strict decodes JSON with the types that OpenRTB specifies. Keys match in any case, as in encoding/json.
var strict = sonic.ConfigDefault

// wirePool pools the request struct alone. What it points to is allocated for every request.
var wirePool = sync.Pool{New: func() any { return new(wireRequest) }}

// Pretouch compiles the decoder, so that the first request does not wait some milliseconds for that.
func Pretouch() error {
	if err := sonic.Pretouch(reflect.TypeFor[wireRequest]()); err != nil {
		return fmt.Errorf("openrtb: cannot compile the JSON decoder: %w", err)
	}
	return nil
}

// Decode reads an OpenRTB 2.5 or 2.6 bid request into dst, which it resets first. The comments of auction.Request describe
// the normal form. Only package privacy makes a Request of dst. Decode copies body once, so the caller may reuse it.
//
// coerced reports that a value had another JSON type than OpenRTB specifies and was converted: "100" or 100.0 to 100,
// true to 1, "a" to ["a"]. A value that cannot be converted counts as absent. Unknown keys are ignored. Impressions
// without a known format, with a repeated id, or after the first MaxImpressions are left out. If the body is not a bid
// request, the error is a *RequestError, which names the place.
func Decode(body []byte, dst *auction.Raw, o *DecodeOptions) (coerced bool, err error) {
	dst.Reset()
	w := wirePool.Get().(*wireRequest)
	w.begin()
	defer func() {
		*w = wireRequest{}
		wirePool.Put(w)
	}()
	own := string(body)
	if err := strict.UnmarshalFromString(own, w); err != nil {
		coerced = true
		w.begin()
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

// syntaxError converts the JSON decoder's error into one that quotes nothing of the request.
func syntaxError(err error) *RequestError {
	var syntax decoder.SyntaxError
	if errors.As(err, &syntax) {
		return &RequestError{"", fmt.Sprintf("is not JSON: error at byte %d", syntax.Pos)}
	}
	return &RequestError{"", "is not JSON"}
}
