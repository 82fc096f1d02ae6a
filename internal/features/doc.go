// Package features turns a request and a candidate into a row of indices, by the feature spec of a model's recipe.
//
// It is the only encoder. The bidder uses it for the rows that it scores, the trainer for the rows that it learns from,
// and `trainer encode` for raw files. So these rows cannot differ. docs/contracts.md describes the index space;
// tests/golden/rows.json pins the rows of some requests.
//
// A source reads a value from the request or the candidate (source.go). A transform normalises it (transform.go). An
// encoder maps its text to an index (encoder.go). Numbers are encoded as their decimal text. So a value in a raw file
// and the same value in a request get the same index.
package features
