package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// FaultKind is one word for what is wrong with a version. A bidder counts refusals by it.
type FaultKind string

const (
	FaultManifest FaultKind = "manifest" // absent, truncated, or not valid by the schema
	FaultName     FaultKind = "name"     // the manifest is of another model or version
	FaultFiles    FaultKind = "files"    // a file is missing, or is not in the manifest
	FaultChecksum FaultKind = "checksum" // a file's bytes are not those that were written
	FaultRead     FaultKind = "read"     // the file system failed
)

// Fault says why a version is damaged.
type Fault struct {
	Kind FaultKind
	Dir  string
	Err  error // joins all faults
}

func (f *Fault) Error() string {
	return fmt.Sprintf("models: version at %s is not sound (%s): %v", f.Dir, f.Kind, f.Err)
}
func (f *Fault) Unwrap() error { return f.Err }

// Verify reads every file of the version at dir. If the files are exactly those of its manifest, with the same checksums, it
// returns the manifest. It does not check the model's name and version; VerifyVersion does. An error is a *Fault.
func Verify(dir string) (*Manifest, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, &Fault{FaultManifest, dir, err}
	}
	found, err := regularFiles(dir)
	if err != nil {
		return nil, &Fault{FaultRead, dir, err}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if _, ok := found[name]; !ok {
			faults = append(faults, fmt.Errorf("%s is missing", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, ok := m.Files[name]; !ok && name != ManifestFile {
			faults = append(faults, fmt.Errorf("%s is not in the manifest", name))
		}
	}
	if len(faults) > 0 {
		return nil, &Fault{FaultFiles, dir, errors.Join(faults...)}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		sum, n, err := sumFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, &Fault{FaultRead, dir, err}
		}
		if sum != m.Files[name] {
			faults = append(faults, fmt.Errorf("%s (%d bytes) has sha256 %s, the manifest says %s", name, n, sum, m.Files[name]))
		}
	}
	if len(faults) > 0 {
		return nil, &Fault{FaultChecksum, dir, errors.Join(faults...)}
	}
	return m, nil
}

// VerifyVersion is like Verify, and also checks that the manifest is of this model and version.
func VerifyVersion(dir, model string, version int64) (*Manifest, error) {
	m, err := Verify(dir)
	if err != nil {
		return nil, err
	}
	if m.Model != model || m.Version != version {
		return nil, &Fault{FaultName, dir, fmt.Errorf("its manifest is of %s version %d, not of %s version %d",
			m.Model, m.Version, model, version)}
	}
	return m, nil
}

// regularFiles lists the files under dir by slash-separated path. Links, pipes and devices are errors.
func regularFiles(dir string) (map[string]bool, error) {
	files := map[string]bool{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file; a version holds only regular files", rel)
		}
		files[filepath.ToSlash(rel)] = true
		return nil
	})
	return files, err
}

func sumFile(name string) (sum string, n int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}
