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
	m, _, err := verify(dir)
	return m, err
}

// contents are files that were read when they were verified, by slash-separated path: those of at most maxContent bytes.
type contents map[string][]byte

// maxContent bounds a file that is read into memory as it is verified. It is that of golden rows.
const maxContent = goldenMaxBytes

// verify is Verify, and returns what recipe and golden rows hold, so that they are not read again.
func verify(dir string) (*Manifest, contents, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, nil, &Fault{FaultManifest, dir, err}
	}
	found, err := regularFiles(dir)
	if err != nil {
		return nil, nil, &Fault{FaultRead, dir, err}
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
		return nil, nil, &Fault{FaultFiles, dir, errors.Join(faults...)}
	}
	kept := contents{}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		sum, n, content, err := sumFile(filepath.Join(dir, filepath.FromSlash(name)), name == RecipeFile || name == GoldenFile)
		if err != nil {
			return nil, nil, &Fault{FaultRead, dir, err}
		}
		if content != nil {
			kept[name] = content
		}
		if sum != m.Files[name] {
			faults = append(faults, fmt.Errorf("%s (%d bytes) has sha256 %s, the manifest says %s", name, n, sum, m.Files[name]))
		}
	}
	if len(faults) > 0 {
		return nil, nil, &Fault{FaultChecksum, dir, errors.Join(faults...)}
	}
	return m, kept, nil
}

// VerifyVersion is like Verify, and also checks that the manifest is of this model and version.
func VerifyVersion(dir, model string, version int64) (*Manifest, error) {
	m, _, err := verifyVersion(dir, model, version)
	return m, err
}

func verifyVersion(dir, model string, version int64) (*Manifest, contents, error) {
	m, kept, err := verify(dir)
	if err != nil {
		return nil, nil, err
	}
	if m.Model != model || m.Version != version {
		return nil, nil, &Fault{FaultName, dir, fmt.Errorf("its manifest is of %s version %d, not of %s version %d",
			m.Model, m.Version, model, version)}
	}
	return m, kept, nil
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

// smallFile is how large a file is, at most, that is summed in one read. Larger ones are summed piece by piece.
const smallFile = 1 << 20

// sumFile sums a file, and returns its content if that is wanted and not too large.
func sumFile(name string, keep bool) (sum string, n int64, content []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, nil, err
	}
	if size := info.Size(); size > maxContent || !keep && size > smallFile {
		h := sha256.New()
		n, err = io.Copy(h, f)
		return hex.EncodeToString(h.Sum(nil)), n, nil, err
	}
	content = make([]byte, info.Size())
	if _, err = io.ReadFull(f, content); err != nil {
		return "", 0, nil, fmt.Errorf("%s: %w", name, err)
	}
	of := sha256.Sum256(content)
	return hex.EncodeToString(of[:]), int64(len(content)), content, nil
}
