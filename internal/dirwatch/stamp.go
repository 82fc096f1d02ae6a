package dirwatch

import (
	"os"
	"path/filepath"
	"time"
)

// Stamp tells whether a file is the one that was read.
type Stamp struct {
	Info os.FileInfo // nil: it is not there
}

// StampOf returns the stamp of a file. It is taken before the file is read: a change meanwhile makes another.
func StampOf(dir, name string) Stamp {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return Stamp{}
	}
	return Stamp{info}
}

// racy is how long after a file was read its time may stand still though it changes: clocks of file systems are coarse.
const racy = 2 * time.Second

// Is reports whether a file whose stamp is now other is as it was when it was read.
func (s Stamp) Is(other Stamp, read time.Time) bool {
	a, b := s.Info, other.Info
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && read.Sub(b.ModTime()) > racy
}
