// Package console is what an operator sees of a bidder: the batcher's page, health, and the metrics of parts that know no
// metrics library (batcher, ledger, limiter). It reads the other rooms and changes none; only commands import it.
package console
