// Package events says what happened to every bid: the memory of the bidder, as an ordered stream that others replay.
//
//	bid ──► win ──► billing (spend) ──► impression ──► click ──► conversion
//
// The life of an event. The bidder makes an Event for each bid it sends, and package notices makes one for each notice
// that an exchange or a browser sends afterwards, once its token has been checked. A Publisher (package publish) takes
// it, encodes it at once with package codec (nothing of the caller's is kept), and sends it with some hundred others as
// one message of a stream.Stream. When the stream is away, messages go to a spill journal on disk and follow later under
// the same ids. Readers have the messages in the order of the stream, each with its cursor, and codec.Read decodes them.
// Package join turns them into examples, exactly once across restarts, and package spend restores a ledger from them.
//
// Delivery is at least once. Every event has an id that is the same whenever the same thing is told twice, so that
// duplicates change nothing: not the spend, not the examples.
//
// This package holds what all of them share, and no more: the types, and what a publisher promises.
package events
