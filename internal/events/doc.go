// Package events is the memory of the bidder: what happened to every bid, as an ordered stream that others replay.
//
//	bid ──► win ──► billing (spend) ──► impression ──► click ──► conversion
//
// The life of an event. The bidder makes an Event for each bid it sends, and Notices makes one for each notice that
// an exchange or a browser sends afterwards, once its token has been checked. A Publisher takes it, encodes it at once
// (nothing of the caller's is kept), and sends it with some hundred others as one message of the JetStream stream GAVEL.
// When the stream is away, messages go to a spill journal on disk and follow later under the same ids. A Reader hands
// the messages out in the order of the stream, each with its sequence. The Joiner turns them into examples, exactly
// once across restarts, and RebuildSpend restores a ledger from them.
//
// Delivery is at least once. Every event has an id that is the same whenever the same thing is told twice, so that
// duplicates change nothing: not the spend, not the examples.
//
// The files: event.go and bid.go say what an event is, wire.go and codec.go how it is written; embed.go, stream.go,
// buffer.go, publisher.go, away.go, spill.go
// and reader.go are the stream; keyring.go, token.go and links.go are the tokens; notices.go
// handles what comes back; joiner.go and position.go make examples; rebuild.go restores spend.
package events
