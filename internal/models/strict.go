package models

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// objectReader decodes JSON objects against the keys they must have, collecting every fault.
type objectReader struct {
	name   string
	schema int
	faults []error
}

func (d *objectReader) fault(key, format string, args ...any) {
	d.faults = append(d.faults, fmt.Errorf("%s: %s: %s", d.name, key, fmt.Sprintf(format, args...)))
}

// optional marks a field that may be missing.
type optional struct{ field any }

// object is a JSON object as it was read: its pairs in their order, as far as it is JSON.
type object struct {
	prefix string // the path of its keys, "" at the top
	pairs  []pair
	faults []fault // of what follows the pairs
	whole  bool    // all of its pairs were read
}

type pair struct {
	key   string
	value json.RawMessage
}

type fault struct{ at, text string }

// readObject reads the object of that prefix.
func readObject(prefix string, data []byte) *object {
	o := &object{prefix: prefix}
	at := cmp.Or(strings.TrimSuffix(prefix, "."), "document")
	fails := func(at, format string, args ...any) *object {
		o.faults = append(o.faults, fault{at, fmt.Sprintf(format, args...)})
		return o
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil {
		return fails(at, "is not JSON: %v", describe(err))
	} else if tok != json.Delim('{') {
		return fails(at, "is not a JSON object")
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return fails(at, "is not JSON near byte %d: %v", dec.InputOffset(), describe(err))
		}
		key := tok.(string) // the decoder allows nothing else there
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fails(prefix+key, "is not JSON near byte %d: %v", dec.InputOffset(), describe(err))
		}
		o.pairs = append(o.pairs, pair{key, value})
	}
	if _, err := dec.Token(); err != nil {
		return fails(at, "is cut off at byte %d: %v", dec.InputOffset(), describe(err))
	}
	o.whole = true
	if _, err := dec.Token(); err != io.EOF && prefix == "" {
		return fails(at, "has text after its end, at byte %d", dec.InputOffset())
	}
	return o
}

// fill decodes an object into fields. Each value of fields is a pointer to decode into, an optional, or a map for a nested object.
func (d *objectReader) fill(o *object, fields map[string]any) {
	seen := map[string]bool{}
	for _, p := range o.pairs {
		field, known := fields[p.key]
		switch {
		case !known:
			d.fault(o.prefix+p.key, "is unknown; schema %d has no such key", d.schema)
		case seen[p.key]:
			d.fault(o.prefix+p.key, "stands twice")
		default:
			d.value(o.prefix+p.key, p.value, field)
		}
		seen[p.key] = true
	}
	for _, f := range o.faults {
		d.fault(f.at, "%s", f.text)
	}
	if !o.whole {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if _, may := fields[key].(optional); !may && !seen[key] {
			d.fault(o.prefix+key, "is missing")
		}
	}
}

func (d *objectReader) value(key string, raw json.RawMessage, field any) {
	if o, ok := field.(optional); ok {
		field = o.field
	}
	if inner, ok := field.(map[string]any); ok {
		d.fill(readObject(key+".", raw), inner)
		return
	}
	if dst, ok := field.(*json.RawMessage); ok {
		*dst = bytes.Clone(raw)
		return
	}
	if string(raw) == "null" {
		d.fault(key, "is null")
		return
	}
	if err := json.Unmarshal(raw, field); err != nil {
		d.fault(key, "%v", strings.TrimPrefix(err.Error(), "json: "))
	}
}

// describe replaces the decoder's end-of-input errors by a sentence.
func describe(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends early")
	}
	return err
}
