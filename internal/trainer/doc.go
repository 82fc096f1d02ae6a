// Package trainer feeds the event stream to a learning child process and publishes what it exports.
//
//	stream ──► readLoop ──► feedLoop: join, encode, batch ──► frames ──► writeLoop ──► child's stdin
//	                                  └─► archive                                       │
//	model store ◄── publish ◄── answerLoop ◄── child's stdout ◄────────────────────────-┘
//
// One Pipeline serves one recipe. It runs the child in incarnations: start, wait for its hello, read the stream from the
// position that hello names, feed until the child dies or the trainer stops. A new incarnation begins with a new child,
// a new joiner and a new reader; nothing but the child's own checkpoint and the archive's file names is carried over. Since
// the joiner's examples follow from the stream alone, and the checkpoint holds weights and position together, every
// example is learnt exactly once by the weights that survive, however often the child is killed.
//
// Back-pressure: the child's pipe fills, writeLoop blocks, the bounded queue of frames fills, feedLoop blocks, and the
// stream is simply not read. Nothing is dropped; the lag is exported.
package trainer
