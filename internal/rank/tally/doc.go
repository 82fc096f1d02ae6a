// Package tally counts, for the ranker's page, what became of each campaign's clicks: clicks, sales, and what was predicted.
//
// The counts come from the event stream, not from the requests that this process answered. So they survive a restart, and cover
// all rankers that share the stream. They are of the last Days days, UTC. Memory is bounded: some 200 bytes a campaign, at most
// MaxCampaigns of them, and two memories of 200,000 ids each, by which repeated events are recognised.
//
// A file keeps the counts with the position in the stream, so that a restart reads only what is new. While it is far behind, a tally
// works a quarter of the time at most, so that it does not compete with who serves.
package tally
