//go:build !linux

package threads

import "errors"

// lowerPriority: elsewhere threads have no priority of their own.
func lowerPriority(int) error { return errors.ErrUnsupported }

func isMainThread() bool { return false }
