//go:build race

package features

// raceDetector: under it sync.Pool drops some of what it is given, on purpose.
const raceDetector = true
