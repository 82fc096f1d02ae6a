// Package race tells tests whether the race detector is on: it allocates, and makes pools drop some of what they are
// given, so that memory can't be counted.
package race

// Enabled says whether the race detector is on.
const Enabled = enabled
