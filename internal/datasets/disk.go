package datasets

import (
	"os"

	"golang.org/x/sys/unix"

	"gavel/internal/files"
)

// A disk is what makes changes of a set durable.
type disk struct {
	step   func(name string) error // called before each step that changes the set; an error interrupts it there
	sync   func(f *os.File) error  // the file is on disk
	syncfs func(d *os.File) error  // all files of d's file system are on disk
	put    func(aside, path string) error
}

var realDisk = disk{
	step:   func(string) error { return nil },
	sync:   (*os.File).Sync,
	syncfs: func(d *os.File) error { return unix.Syncfs(int(d.Fd())) },
	put:    files.Put,
}
