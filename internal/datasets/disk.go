package datasets

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gavel/internal/files"
)

// A disk is what makes changes of a set durable.
type disk struct {
	step   func(name string) error // called before each step that changes the set; an error interrupts it there
	syncfs func(d *os.File) error  // all files of d's file system are on disk
	put    func(from, to string) error
}

var realDisk = disk{
	step:   func(string) error { return nil },
	syncfs: func(d *os.File) error { return unix.Syncfs(int(d.Fd())) },
	put:    put,
}

// put syncs a file and renames it into place.
func put(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return files.SyncDir(filepath.Dir(to))
}
