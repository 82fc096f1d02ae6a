// Package classifiers reads and writes classifier files. docs/classifier-files.md is the contract with the trainers, which
// write most of them; files under tests/golden/classifiers pin it for both languages.
//
// A file is small and whole: Decode takes all its bytes, checks them strictly, and never reads what a claim of length would
// cost. A Monitor keeps a Sink equal to a directory of files while they come and go. Logit computes a classifier plainly, value by value: it is the reference that faster scorers are compared with.
package classifiers
