// Package strictyaml decodes YAML files that people edit. Unknown keys are errors. Every fault is reported at once,
// with its line or key, so that one round of editing repairs a file.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxBytes bounds a file, so that a wrong path (a log, a device) cannot fill memory.
const MaxBytes = 64 << 20

// Validator is implemented by documents that have rules beyond their types. Validate returns every fault, each
// naming the key and the remedy.
type Validator interface{ Validate() []error }

// ReadFile decodes the file into dst, a pointer, and validates it if it is a Validator. The error joins every fault,
// each as "path: …".
func ReadFile(path string, dst any) error {
	f, err := os.Open(path)
	if err != nil {
		if dir, unknown := os.Getwd(); errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(path) && unknown == nil {
			return fmt.Errorf("strictyaml: cannot read: %w (relative to %s)", err, dir)
		}
		return fmt.Errorf("strictyaml: cannot read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return fmt.Errorf("strictyaml: cannot read %s: %w", path, err)
	}
	if len(data) > MaxBytes {
		return fmt.Errorf("strictyaml: %s is larger than %d bytes", path, MaxBytes)
	}
	return Decode(path, data, dst)
}

// Decode decodes one YAML document into dst, a pointer, and validates it if it is a Validator. name precedes
// every fault. An empty document does not change dst.
func Decode(name string, data []byte, dst any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	err := dec.Decode(dst)
	if err != nil && !errors.Is(err, io.EOF) {
		return decodeFaults(name, err)
	}
	if err == nil {
		if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: holds more than one YAML document; keep the first", name)
		}
	}
	if v, ok := dst.(Validator); ok {
		faults := v.Validate()
		for i, fault := range faults {
			faults[i] = fmt.Errorf("%s: %w", name, fault)
		}
		return errors.Join(faults...)
	}
	return nil
}

func decodeFaults(name string, err error) error {
	var typeErr *yaml.TypeError
	if !errors.As(err, &typeErr) {
		return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	faults := make([]error, 0, len(typeErr.Errors))
	for _, e := range typeErr.Errors {
		faults = append(faults, fmt.Errorf("%s: %s", name, unknownKey(e)))
	}
	return errors.Join(faults...)
}

// What the decoder says of a key that is not there, with the Go type in which it looked, and the keys of a type without a name.
var (
	notFound = regexp.MustCompile(`^(line \d+: field .+ not found) in type (.*)$`)
	keyOf    = regexp.MustCompile("yaml:\\\\?\"([^\",\\\\]+)")
)

// unknownKey puts the keys that there are, if the type tells them, into the decoder's message of an unknown key, in place of Go's type.
func unknownKey(message string) string {
	found := notFound.FindStringSubmatch(message)
	if found == nil {
		return message
	}
	var known []string
	for _, key := range keyOf.FindAllStringSubmatch(found[2], -1) {
		known = append(known, key[1])
	}
	if len(known) == 0 {
		return found[1] + "; docs/configuration.md lists the keys"
	}
	return found[1] + "; the keys here are " + strings.Join(known, ", ")
}
