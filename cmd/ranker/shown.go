package main

import (
	"maps"
	"slices"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/estimators"
)

// shown is what the page asks of a scorer.
type shown struct {
	serving func() []classifiers.Serving
	refused func() []classifiers.Refusal
	memory  func() int64 // bytes
}

// showEstimators shows a directory of estimators. Their files do not say when they were trained, or on what.
func showEstimators(d *estimators.Directory, memory func() int64) shown {
	serving := func() (all []classifiers.Serving) {
		view := d.View()
		defer view.Release()
		for _, c := range view.Campaigns() {
			all = append(all, classifiers.Serving{Campaign: c.ID, Version: c.Version, Prior: c.Prior})
		}
		return all
	}
	refused := func() (all []classifiers.Refusal) {
		faults := d.Faults()
		for _, name := range slices.Sorted(maps.Keys(faults)) {
			all = append(all, classifiers.Refusal{File: name, Reason: faults[name], Remedy: "see docs/workers.md; the file is read again when it changes"})
		}
		return all
	}
	return shown{serving, refused, memory}
}
