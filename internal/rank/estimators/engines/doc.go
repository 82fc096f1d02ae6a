// Package engines runs the estimators of a directory by engines in this process, as ONNX files by onnxruntime: it is an
// estimators.Runner.
//
//	Prepare: file ──SHA-256──► Open ──► engine whose inputs are the described rows ──► golden profiles ──► memory, or absent
//	Run: task ──► row of a batch for one ──► engine ──► probability
//
// A bound on memory keeps those that are asked for most (package admission). A task of an absent one is missed, and asks for room;
// loadLoop reads it again, off the serving path, once for all who wait.
package engines
