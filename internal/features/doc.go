// Package features turns a request and a candidate into a row of indices, by the feature spec of a model's recipe.
//
// It is the only encoder there is: the bidder encodes the rows it scores with it, the trainer the rows it learns from,
// `trainer encode` those of raw files, so that they cannot differ. docs/contracts.md says how the index space is laid
// out; tests/golden/rows.json pins what this code makes of some requests.
//
// A value's way: a source reads it from the request or the candidate (source.go), a transform normalises it
// (transform.go), an encoder makes an index of its text (encoder.go). Numbers are encoded as their decimal text, so a
// value in a raw file and the same value in a request get the same index.
package features
