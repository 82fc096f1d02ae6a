//go:build !unix

package batcher

import "time"

// processCPU is not known here: the load is 0, and the adaptive policy holds nothing.
func processCPU() time.Duration { return 0 }
