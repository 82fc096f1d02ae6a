//go:build !linux

package host

import (
	"errors"
	"time"
)

// lowerPriority always fails: on other systems threads have no priority of their own.
func lowerPriority(int) error { return errors.ErrUnsupported }

func isMainThread() bool { return false }

// These are not needed, because no thread is nice.
func currentThread() int { return 0 }

func threadCPU(int) time.Duration { return 0 }

// ShortSlices always fails: other systems have no such setting.
func ShortSlices() error { return errors.ErrUnsupported }

// ShortSlice always fails: other systems have no such setting.
func ShortSlice() error { return errors.ErrUnsupported }
