package main

import (
	"maps"
	"slices"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/estimators"
)

// shown is what the page asks of a model's scorer.
type shown struct {
	serving func() []classifiers.Serving
	refused func() []classifiers.Refusal
	memory  func() int64 // bytes
}

// serving lists the classifiers of all models. Where the campaign file has a campaign, only that of its own model counts.
func (r *ranker) serving() (all []classifiers.Serving) {
	set := r.campaigns.Set()
	for i, m := range r.models {
		for _, s := range m.shown.serving() {
			if place, active := set.Place(s.Campaign); !active || set.Models[place] == int32(i) {
				all = append(all, s)
			}
		}
	}
	return all
}

// refused lists the files of all models that do not serve, each after its model's name if there are several.
func (r *ranker) refused() (all []classifiers.Refusal) {
	for _, m := range r.models {
		for _, f := range m.shown.refused() {
			if len(r.models) > 1 {
				f.File = m.name + ": " + f.File
			}
			all = append(all, f)
		}
	}
	return all
}

// memory is that of all models' classifiers.
func (r *ranker) memory() (bytes int64) {
	for _, m := range r.models {
		bytes += m.shown.memory()
	}
	return bytes
}

// showEstimators shows a directory of estimators. Their files do not say when they were trained, or on what.
func showEstimators(d *estimators.Directory) shown {
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
	return shown{serving, refused, d.Bytes}
}
