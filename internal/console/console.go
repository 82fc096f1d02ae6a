// Package console holds what operators see of a bidder: the batcher's page, health checks, and metrics. The metrics are
// those of rooms that import no metrics library: batcher, ledger, auctioneer and limiter. The package reads other rooms
// and changes none. Only commands import it.
package console
