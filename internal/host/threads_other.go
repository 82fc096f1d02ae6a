//go:build !linux

package host

import (
	"errors"
	"time"
)

// lowerPriority: elsewhere threads have no priority of their own.
func lowerPriority(int) error { return errors.ErrUnsupported }

func isMainThread() bool { return false }

// Threads that are not nice are not asked what they used.
func currentThread() int { return 0 }

func threadCPU(int) time.Duration { return 0 }

// ShortSlices: elsewhere there is nothing to ask for.
func ShortSlices() error { return errors.ErrUnsupported }

// ShortSlice: nor for one thread.
func ShortSlice() error { return errors.ErrUnsupported }
