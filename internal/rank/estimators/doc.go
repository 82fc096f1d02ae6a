// Package estimators serves a directory of estimators, one a campaign, as a scorer of rankings. A Runner runs them: Python workers
// those of scikit-learn, or package engines ONNX files in this process.
//
//	<campaign>.estimator.json + <campaign>.<version>.skops ──scan──► runner prepares ──golden rows──► view
//	profile ──► words (ids of its values) ──► columns of each campaign's own encoder ──► bag ──► runner ──► logits
//
// docs/workers.md describes the files. The description holds the encoder, so that one lookup a value serves all campaigns:
// words gives each value of each field one number, and a campaign's columns are found by that number.
package estimators
