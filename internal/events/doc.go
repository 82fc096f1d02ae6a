// Package events defines what happened to every bid, as an ordered stream of events that others replay.
//
//	bid ──► win ──► billing (spend) ──► impression ──► click ──► conversion
//
// The life of an event. The bidder makes an Event for each bid that it sends. Package notices makes one for each notice
// that an exchange or a browser sends afterwards, when its token is valid. A Publisher (package publish) encodes the event
// at once with package codec, keeping no reference to it. It sends some hundred events as one message of a stream.Stream. When
// the stream is down, messages go to a spill journal on disk and are sent later under the same ids. Readers get the messages
// in the order of the stream, each with its cursor, and codec.Read decodes them. Package join turns them into examples,
// exactly once across restarts. Package spend restores a ledger from them.
//
// Delivery is at least once. If the same thing is reported twice, both events have the same id. So duplicates change neither
// spend nor examples.
//
// This package holds only what the others share: the types, and the contract of a publisher.
package events
