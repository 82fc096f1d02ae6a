package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gavel/internal/files"
)

func TestSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets", "key")
	if _, err := files.ReadSecret(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a file that is absent: %v", err)
	}
	if err := files.WriteSecret(path, []byte("one"), true); err != nil {
		t.Fatal(err)
	}
	if err := files.WriteSecret(path, []byte("two"), true); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over another: %v", err)
	}
	if got, err := files.ReadSecret(path); err != nil || string(got) != "one" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := files.WriteSecret(path, []byte("two"), false); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left beside it: %v, %v", entries, err)
	}
	f := func(want string, spoil func() error) {
		t.Helper()
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := files.ReadSecret(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("chmod 600", func() error { return os.Chmod(path, 0o640) })
	f("no key file", func() error { return errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, make([]byte, 5000), 0o600)) })
	f("is a directory", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) })
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := files.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.Lock(path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("locked twice: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := files.Lock(path)
	if err != nil {
		t.Fatalf("after it was released: %v", err)
	}
	again.Close()
}

func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	path, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(path, []byte("text"), 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]string{9: "text", 4: "text", 3: "text", 2: "tex"} { // one byte more than most
		if data, err := files.ReadRegular(path, most); err != nil || string(data) != want {
			t.Errorf("at most %d: %q, %v; want %q", most, data, err, want)
		}
	}
	for _, other := range []string{pipe, dir} {
		if _, err := files.ReadRegular(other, 9); err == nil || !strings.Contains(err.Error(), "must be a regular file") {
			t.Errorf("%s: %v", other, err)
		}
	}
	if _, err := files.ReadRegular(filepath.Join(dir, "none"), 9); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestPut(t *testing.T) {
	dir := t.TempDir()
	aside, path := filepath.Join(dir, ".aside"), filepath.Join(dir, "file")
	for _, text := range []string{"one", "two"} { // the second replaces the first
		if err := os.WriteFile(aside, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := files.Put(aside, path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
	}
	if err := files.Put(aside, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is absent: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "two" {
		t.Errorf("after a failure: %q, %v", got, err)
	}
}
