package classifiers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gavel/internal/files"
)

// Suffix ends the names of classifier files.
const Suffix = ".classifier"

// aside is the directory, within that of the files, that files are written in. Nobody watches it.
const aside = ".aside"

// IsName reports whether a file of this name in a directory of classifiers is one.
func IsName(name string) bool {
	return strings.HasSuffix(name, Suffix) && !strings.HasPrefix(name, ".")
}

// Name is the name of the file.
func (f *File) Name() string {
	if f.Kind == Prior {
		return "prior." + strconv.FormatUint(f.Version, 10) + Suffix
	}
	return files.Escape(f.Campaign) + Suffix
}

// Write puts a file in a directory of classifiers whole: written aside, synced, renamed. A file of that name is replaced.
func Write(dir string, f *File) (err error) {
	data, err := Encode(f)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("classifiers: cannot write %s: %w", filepath.Join(dir, f.Name()), err)
		}
	}()
	if err := os.MkdirAll(filepath.Join(dir, aside), 0o755); err != nil {
		return err
	}
	t, err := os.CreateTemp(filepath.Join(dir, aside), "")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name()) // absent where it was renamed
	_, err = t.Write(data)
	if err = errors.Join(err, t.Chmod(0o644), t.Close()); err != nil {
		return err
	}
	return files.Put(t.Name(), filepath.Join(dir, f.Name()))
}
