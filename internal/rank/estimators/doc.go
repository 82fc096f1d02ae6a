// Package estimators serves a directory of scikit-learn estimators, one a campaign, as a scorer of rankings.
//
//	<campaign>.estimator.json + <campaign>.<version>.skops ──scan──► preparer ──golden rows──► view
//	profile ──► words (ids of its values) ──► columns of each campaign's own encoder ──► bag ──► workers ──► logits
//
// docs/workers.md describes the files. The description holds the encoder, so that one lookup a value serves all campaigns:
// words gives each value of each field one number, and a campaign's columns are found by that number.
package estimators
