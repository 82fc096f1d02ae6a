package predict

import (
	"errors"
	"fmt"
	"strconv"
)

// shape is what a request may contain.
type shape struct {
	rowLen, tableRows int
	signature         string // its name
	input             string // the key of its input
	maxRows           int
}

// request reads the body of one prediction in one pass. For a valid body of the usual form it allocates nothing. Faults
// of rows are collected, so that the answer names every faulty row. A fault of the JSON ends the reading.
//
// Unusual input (unknown or escaped keys, other values instead of an index) takes a slower path through value, which
// finds the end of any JSON value and validates it.
type request struct {
	columnar bool    // "inputs", not "instances"
	rows     []int32 // the indices of the rows that are not refused
	n        int     // rows read
	refused  int     // how many of them are refused
	faults   []byte  // the faults of the first maxFaults refused rows

	shape shape
	data  []byte
	at    int
	given bool // the body has instances or inputs
}

const (
	keyInstances = "instances"
	keyInputs    = "inputs"
	keySignature = "signature_name"

	maxFaults = 8  // refused rows that an answer describes
	maxShown  = 40 // bytes of a value that an answer repeats
)

// errTooManyRows is answered with 413, every other error of parse with 400.
var errTooManyRows = errors.New("predict: too many rows")

// parse reads data and does not keep it. It reuses the memory of r.
func (r *request) parse(data []byte, s shape) error {
	*r = request{rows: r.rows[:0], faults: r.faults[:0], shape: s, data: data}
	err := r.object()
	r.data = nil
	switch {
	case err != nil:
		return err
	case !r.given:
		return errors.New(`the body has neither "instances" nor "inputs"; send {"instances": [[…], …]}`)
	case r.n == 0:
		return errors.New("the body has no rows; send at least one")
	case r.refused > 0:
		return r.refusal()
	}
	return nil
}

// refusal describes the refused rows.
func (r *request) refusal() error {
	more := ""
	if r.refused > maxFaults {
		more = fmt.Sprintf("; %d more are refused", r.refused-maxFaults)
	}
	return fmt.Errorf("%d of %d rows are refused (rows and indices are numbered from 0): %s%s", r.refused, r.n, r.faults, more)
}

// object reads the body: one JSON object.
func (r *request) object() error {
	if r.next() != '{' {
		return r.unexpected("{")
	}
	r.at++
	if r.next() == '}' {
		r.at++
		return r.end()
	}
	for {
		if err := r.member(); err != nil {
			return err
		}
		switch r.next() {
		case ',':
			r.at++
		case '}':
			r.at++
			return r.end()
		default:
			return r.unexpected(", or }")
		}
	}
}

func (r *request) end() error {
	if r.next(); r.at < len(r.data) {
		return r.unexpected("the end")
	}
	return nil
}

// member reads one key of the body with its value.
func (r *request) member() error {
	key, err := r.key(keyInstances, keyInputs, keySignature)
	if err != nil {
		return err
	}
	switch key {
	case keyInstances, keyInputs:
		if r.given {
			return errors.New(`rows are given twice; send "instances" or "inputs", once`)
		}
		r.given, r.columnar = true, key == keyInputs
		if !r.columnar || r.next() != '{' {
			return r.list()
		}
		if err := r.openInput(); err != nil {
			return err
		}
		if err := r.list(); err != nil {
			return err
		}
		return r.closeInput()
	case keySignature:
		return r.signature()
	default: // ignored, as TensorFlow Serving ignores it
		_, err := r.value()
		return err
	}
}

// key reads a key and the colon after it.
func (r *request) key(known ...string) (key string, err error) {
	if r.next() != '"' {
		return "", r.unexpected("a key")
	}
	for _, k := range known {
		if r.quoted(k) {
			key = k
			break
		}
	}
	if key == "" {
		if key, err = r.text(); err != nil {
			return "", err
		}
	}
	if r.next() != ':' {
		return "", r.unexpected(":")
	}
	r.at++
	return key, nil
}

// signature reads the name of the signature.
func (r *request) signature() error {
	want := r.shape.signature
	switch c := r.next(); {
	case c != '"':
		return r.unexpected("the name of a signature")
	case r.quoted(want):
		return nil
	}
	name, err := r.text()
	if err == nil && name != want {
		err = fmt.Errorf("signature_name is %q; the model has only %q", show(name), want)
	}
	return err
}

// openInput and closeInput read what encloses rows that are given under the name of the input.
func (r *request) openInput() error {
	r.at++ // past {
	key, err := r.key(r.shape.input)
	if err != nil {
		return err
	}
	if key != r.shape.input {
		return fmt.Errorf("row %d names input %q; the model has only %q", r.n, show(key), r.shape.input)
	}
	return nil
}

func (r *request) closeInput() error {
	if r.next() != '}' {
		return r.unexpected("} (the model has one input)")
	}
	r.at++
	return nil
}

// list reads all rows.
func (r *request) list() error {
	if r.next() != '[' {
		return r.unexpected("a list of rows")
	}
	r.at++
	if r.next() == ']' {
		r.at++
		return nil
	}
	for {
		if r.n == r.shape.maxRows {
			return errTooManyRows
		}
		if err := r.row(); err != nil {
			return err
		}
		r.n++
		switch r.next() {
		case ',':
			r.at++
		case ']':
			r.at++
			return nil
		default:
			return r.unexpected(", or ]")
		}
	}
}

// row reads one row, with or without the name of the input.
func (r *request) row() error {
	if r.columnar || r.next() != '{' {
		return r.indices()
	}
	if err := r.openInput(); err != nil {
		return err
	}
	if err := r.indices(); err != nil {
		return err
	}
	return r.closeInput()
}

// indices reads one row's list. It reports the first fault of the row.
func (r *request) indices() error {
	if r.next() != '[' {
		text, err := r.value()
		if err == nil {
			r.refuse("row %d is %s, not a list of %d indices", r.n, show(text), r.shape.rowLen)
		}
		return err
	}
	r.at++
	begin, count, good := len(r.rows), 0, true
	for r.next() != ']' || count > 0 {
		v, ok := r.digits()
		if !ok {
			var why string
			var err error
			if v, why, err = r.odd(); err != nil {
				return err
			} else if why != "" && good {
				r.refuse("index %d of row %d is %s", count, r.n, why)
				good = false
			}
		}
		if good && v >= uint64(r.shape.tableRows) {
			r.refuse("index %d of row %d is %d, not in [0, %d)", count, r.n, v, r.shape.tableRows)
			good = false
		}
		if good && count < r.shape.rowLen {
			r.rows = append(r.rows, int32(v))
		}
		count++
		if c := r.next(); c == ']' {
			break
		} else if c != ',' {
			return r.unexpected(", or ]")
		}
		r.at++
	}
	r.at++
	if good && count != r.shape.rowLen {
		r.refuse("row %d has %d indices, the model needs %d", r.n, count, r.shape.rowLen)
		good = false
	}
	if !good {
		r.rows = r.rows[:begin]
	}
	return nil
}

// odd reads any value where an index is expected. If it is not an index, why says so.
func (r *request) odd() (v uint64, why string, err error) {
	text, err := r.value()
	if err != nil {
		return 0, "", err
	}
	switch n, err := strconv.ParseInt(string(text), 10, 64); {
	case err == nil && n >= 0: // such as -0
		return uint64(n), "", nil
	case err == nil || errors.Is(err, strconv.ErrRange):
		return 0, fmt.Sprintf("%s, not in [0, %d)", show(text), r.shape.tableRows), nil
	default:
		return 0, show(text) + ", not an integer", nil
	}
}

// refuse counts the current row as refused and records why.
func (r *request) refuse(format string, args ...any) {
	if r.refused++; r.refused > maxFaults {
		return
	}
	if r.refused > 1 {
		r.faults = append(r.faults, "; "...)
	}
	r.faults = fmt.Appendf(r.faults, format, args...)
}
