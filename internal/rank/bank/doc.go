// Package bank scores all linear classifiers for one profile at once. docs/classifier-files.md says what a classifier means.
//
// # Segments
//
// A segment holds up to 8,192 classifiers as one structure, by value instead of by classifier: for each value of each feature, what
// the logits of the classifiers that know it gain. So a score looks up the profile's few values once, and adds a few rows and lists
// to a base vector. A segment is immutable, and lies in memory of its own outside of Go's heap (segment.go, bank.h). The kernel is
// in C, for vectors and prefetches (bank.c); it has no state.
//
// A prior is a segment of one row. Its logit is computed once a profile, and added to the rows that are deltas to it.
//
// # States
//
// A state is what serves: segments, and which of their rows do not serve any more because a newer segment has them, or because
// they were removed. The bank points to one state, atomically. Who scores takes a view, which is the state, counted; the state holds
// its segments, counted too. The last to release a state has it freed by another goroutine, since that takes long.
//
// # Changes
//
// Apply makes one new segment of the files it is given, and a state with it. A background goroutine merges segments of similar size,
// as log-structured stores do: a classifier is copied about as often as its bank grew threefold, and a score passes
// few segments. A merge reads the segments value by value, in the order of their texts, and needs memory for its result only. It holds
// no lock; what was replaced meanwhile is found when the result is put in place. If merges fall far behind, Apply waits.
//
// # Memory
//
// With Options.Memory, classifiers that have no room are absent: a state lists their campaigns after its rows, and their logits are NaN.
// A score counts what it is asked for in the state (absent.go). balanceLoop takes the counts, has the policy decide (bound.go), reads
// the files of those that won room, and makes one state with them and without those that lost (balance.go). Nothing of it is on the
// serving path.
//
// # Exactness
//
// What a value adds is a float32, the base and all sums are float64. Where rounding to float32 could cost a probability more than
// 2.5e-7 in all, a second float32 keeps the rest.
package bank
