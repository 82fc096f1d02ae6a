// Package trainer feeds the event stream to a learning child process and publishes what it exports.
//
//	stream ──► readLoop ──► feedLoop: join, encode, batch ──► frames ──► writeLoop ──► child's stdin
//	                                  └─► archive                                       │
//	model store ◄── publish ◄── answerLoop ◄── child's stdout ◄────────────────────────-┘
//
// One Pipeline serves one recipe. It runs the child in incarnations: start the child, wait for its hello, read the stream
// from the position in that hello, feed until the child dies or the trainer stops. Each incarnation has a new child, joiner
// and reader. Only the child's checkpoint and the archive's file names are carried over. The joiner's examples depend on the
// stream alone, and a checkpoint holds weights and position together. So however often the child is killed, the weights
// that survive have learnt every example exactly once.
//
// Back-pressure: if the child is slow, its pipe fills and writeLoop blocks. Then the bounded queue of frames fills, feedLoop
// blocks, and the stream is not read. Nothing is dropped; metrics show the lag.
package trainer
