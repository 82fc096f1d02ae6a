package workers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Endings are those of files that can be prepared.
var Endings = append([]string{".skops"}, pickles...)

// pickles are the endings of files that can run any code when they are read.
var pickles = []string{".joblib", ".pkl", ".pickle"}

// CheckTrusted returns an error unless only its owner can write to a directory or file, and that is this process's user or root.
func CheckTrusted(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("workers: cannot trust %s: %w", path, err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("workers: cannot trust %s: its mode is %#o, so others than its owner can write to it (chmod go-w)", path, mode)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("workers: cannot trust %s: it belongs to user %d, must belong to this process's user %d or to root", path, s.Uid, os.Geteuid())
	}
	return nil
}

// Check returns every fault of the source that shows without reading the estimator: of its description, and of its file's place.
func (s *Source) Check() error {
	if err := s.check(); err != nil {
		return err
	}
	if _, err := os.Stat(s.Path); err != nil {
		return fmt.Errorf("workers: %s: cannot find the estimator: %w", s.Name, err)
	}
	return checkFile(s)
}

// checkFile refuses pickles from directories that are not trusted, or that others can write to.
func checkFile(s *Source) error {
	if !slices.Contains(pickles, filepath.Ext(s.Path)) {
		return nil
	}
	if !s.Trusted {
		return fmt.Errorf("workers: %s: %s is a pickle, which can run any code, and its directory is not trusted (trusted); write it with skops",
			s.Name, s.Path)
	}
	path, err := filepath.EvalSymlinks(s.Path)
	if err != nil {
		return fmt.Errorf("workers: %s: cannot find the estimator: %w", s.Name, err)
	}
	for _, at := range []string{filepath.Dir(path), path} {
		if err := CheckTrusted(at); err != nil {
			return err
		}
	}
	return nil
}
