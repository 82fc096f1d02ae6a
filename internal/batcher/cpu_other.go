//go:build !unix

package batcher

import "time"

// processCPU returns 0, since the CPU time is not known here. So the load is 0, and the adaptive policy holds no batch.
func processCPU() time.Duration { return 0 }
