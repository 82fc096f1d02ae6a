// Package consumer reads the stream of rankings and sales, joins them into examples, and keeps a data set of these.
package consumer
