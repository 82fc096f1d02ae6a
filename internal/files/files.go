// Package files is what several rooms need of the file system: secrets that others can't read, locks that end with the
// process, files that appear whole, and files of others that are read without waiting.
package files

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// maxSecretBytes bounds the files that secrets are read from.
const maxSecretBytes = 4096

// ReadSecret reads a small file that only its owner may read. Its errors say what to do; a file that is absent gives
// fs.ErrNotExist.
func ReadSecret(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return nil, fmt.Errorf("%s is a directory: name a file in it", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %#o): chmod 600 it", path, st.Mode().Perm())
	}
	if st.Size() > maxSecretBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than %d: it is no key file", path, st.Size(), maxSecretBytes)
	}
	return os.ReadFile(path)
}

// WriteSecret puts a file of mode 0600 in place whole: written aside, synced, then renamed, or with create linked,
// which fails with fs.ErrExist where there is one. Its directory is made if need be, with mode 0700.
func WriteSecret(path string, text []byte, create bool) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if create {
		err = os.Link(f.Name(), path)
	} else {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return SyncDir(dir)
}

// ReadRegular reads a regular file: at most most bytes and one more, by which the caller sees that it is longer. It never waits, as for
// the writer of a pipe.
func ReadRegular(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s must be a regular file", path)
	}
	var data bytes.Buffer
	data.Grow(int(min(info.Size(), most)) + bytes.MinRead)
	if _, err := data.ReadFrom(io.LimitReader(f, most+1)); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}

// Put syncs a whole file that was written aside, renames it to path, and syncs path's directory. Both must lie in one file system.
func Put(aside, path string) error {
	f, err := os.OpenFile(aside, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(aside, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// RandomKey is 32 random bytes.
func RandomKey() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails: the runtime ends the process where no randomness can be had
	return b
}

// RandomID is 16 hex digits, to tell the runs of a process apart.
func RandomID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// SyncDir has the names in a directory survive a crash.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock takes a lock on a file, made if need be, that ends when the file is closed or the process ends. It fails at once
// if another process, or another Lock of this one, has it.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another process uses it (%s is locked): stop that one, or give this one a directory of its own", path)
	}
	return f, nil
}
