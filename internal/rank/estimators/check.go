package estimators

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gavel/internal/engine/workers"
)

// Check reads every description of a directory, and returns how many there are, and every fault. endings are those of files that the
// runner reads. It reads no estimator. A directory that is not there is sound: Open makes it.
func Check(dir string, endings []string, trusted bool) (descriptions int, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("estimators: cannot list the directory: %w", err)
	}
	var faults []error
	if trusted {
		if err := workers.CheckTrusted(dir); err != nil {
			faults = append(faults, fmt.Errorf("estimators: the directory may not be trusted: %w", err))
		}
	}
	for _, e := range entries {
		if !isDescription(e.Name()) {
			continue
		}
		descriptions++
		d, err := read(filepath.Join(dir, e.Name()))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		s := d.source(dir, trusted)
		err = d.checkEnding(endings)
		if err == nil {
			err = s.Check()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("estimators: %s: %w", e.Name(), err))
		}
	}
	return descriptions, errors.Join(faults...)
}
