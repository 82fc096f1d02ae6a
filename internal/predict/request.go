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
	refusals

	scanner
	shape shape
	given bool // the body has instances or inputs
}

const (
	keyInstances = "instances"
	keyInputs    = "inputs"
	keySignature = "signature_name"
)

// errTooManyRows is answered with 413, every other error of a body with 400.
var errTooManyRows = errors.New("predict: too many rows")

var (
	errNoRows = errors.New("the body has no rows; send at least one")
	errTwice  = errors.New(`rows are given twice; send "instances" or "inputs", once`)
)

// parse reads data and does not keep it. It reuses the memory of r.
func (r *request) parse(data []byte, s shape) error {
	*r = request{rows: r.rows[:0], refusals: refusals{faults: r.faults[:0]}, shape: s, scanner: scanner{data: data}}
	err := r.object(r.member)
	if err == nil {
		err = r.end()
	}
	r.data = nil
	switch {
	case err != nil:
		return err
	case !r.given:
		return errors.New(`the body has neither "instances" nor "inputs"; send {"instances": [[…], …]}`)
	case r.n == 0:
		return errNoRows
	case r.refused > 0:
		return r.refusal(r.n, "rows and indices")
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
			return errTwice
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
		return r.signature(r.shape.signature)
	default: // ignored, as TensorFlow Serving ignores it
		_, err := r.value()
		return err
	}
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
func (r *request) list() error { return r.scanner.list("a list of rows", r.row) }

// row reads one row, with or without the name of the input.
func (r *request) row() error {
	if r.n == r.shape.maxRows {
		return errTooManyRows
	}
	named := !r.columnar && r.next() == '{'
	if named {
		if err := r.openInput(); err != nil {
			return err
		}
	}
	if err := r.indices(); err != nil {
		return err
	}
	r.n++
	if named {
		return r.closeInput()
	}
	return nil
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
