package auction

import "errors"

// The sentinels that callers branch on; ReasonFor maps each to its no-bid reason.
var (
	ErrNoModel = errors.New("auction: no warm model version")
	ErrShed    = errors.New("auction: shed: no answer could be expected by the deadline")
	ErrExpired = errors.New("auction: deadline passed")
)

// ReasonFor maps an error of the scoring path to the no-bid reason. nil maps to NoBidNone, an unknown error to
// NoBidInternal.
func ReasonFor(err error) NoBidReason {
	switch {
	case err == nil:
		return NoBidNone
	case errors.Is(err, ErrNoModel):
		return NoBidNoModel
	case errors.Is(err, ErrShed):
		return NoBidShed
	case errors.Is(err, ErrExpired):
		return NoBidExpired
	default:
		return NoBidInternal
	}
}
