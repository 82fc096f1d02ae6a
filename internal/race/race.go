// Package race lets tests know whether the race detector is on. With it, the program allocates more and pools drop some
// of their items, so tests cannot count memory.
package race

// Enabled says whether the race detector is on.
const Enabled = enabled
