package predict

import "fmt"

const (
	maxFaults = 8  // refused rows that an answer describes
	maxShown  = 40 // bytes of a value that an answer repeats
)

// refusals collects the faults of rows, so that an answer names every faulty row up to a bound.
type refusals struct {
	refused int    // refused rows
	faults  []byte // the faults of the first maxFaults of them
}

// refuse counts a row as refused and records why.
func (r *refusals) refuse(format string, args ...any) {
	if r.refused++; r.refused > maxFaults {
		return
	}
	if r.refused > 1 {
		r.faults = append(r.faults, "; "...)
	}
	r.faults = fmt.Appendf(r.faults, format, args...)
}

// refusal describes the refused rows of n. numbered says what the faults number.
func (r *refusals) refusal(n int, numbered string) error {
	more := ""
	if r.refused > maxFaults {
		more = fmt.Sprintf("; %d more are refused", r.refused-maxFaults)
	}
	return fmt.Errorf("%d of %d rows are refused (%s are numbered from 0): %s%s", r.refused, n, numbered, r.faults, more)
}
