package ranktest

import (
	"reflect"
	"testing"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

func TestFleet(t *testing.T) {
	o := Options{Seed: 7, Features: 5, Values: 900, Known: 60, Golden: 3, Prior: true}
	f, same := New(o), New(o)
	files := []*classifiers.File{f.Prior(), f.Classifier(0, 1), f.Classifier(0, 2), f.Classifier(1, 1)}
	for _, file := range files {
		if _, err := classifiers.Encode(file); err != nil {
			t.Error(err)
		}
		if err := file.Golden.Check(classifiers.Tolerance, func(p score.Profile) float64 { return f.Logit(file, p) }); err != nil || len(file.Golden.Profiles) != 3 {
			t.Errorf("%d golden profiles: %v", len(file.Golden.Profiles), err)
		}
	}
	count := func(file *classifiers.File) (n int) {
		for _, feature := range file.Features {
			n += len(feature.Values)
		}
		return n
	}
	if count(f.Prior()) != 900 || count(files[1]) != 60 {
		t.Errorf("the prior knows %d values, a classifier %d", count(f.Prior()), count(files[1]))
	}
	if !reflect.DeepEqual(same.Classifier(1, 1), files[3]) || !reflect.DeepEqual(same.Profile(5), f.Profile(5)) {
		t.Error("the same seed makes another fleet")
	}
	if reflect.DeepEqual(files[1].Features, files[2].Features) || reflect.DeepEqual(files[1].Features, files[3].Features) {
		t.Error("classifiers are equal")
	}
}
