//go:build !linux

package batcher

// newPreciseSleeper returns nil: the clock uses Go's timers.
func newPreciseSleeper() sleeper { return nil }
