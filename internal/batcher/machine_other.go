//go:build !linux

package batcher

// machineCPU is not known here: the process's own share has to do.
func machineCPU() (idle, all float64, ok bool) { return 0, 0, false }
