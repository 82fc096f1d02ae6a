//go:build !linux

package batcher

// newPreciseSleeper is nil: Go's timers serve.
func newPreciseSleeper() sleeper { return nil }
