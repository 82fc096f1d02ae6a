package servable

import (
	"context"
	"testing"
)

func TestLoadsWhatPytrainExports(t *testing.T) {
	for _, kind := range []string{"logreg", "fm", "deepfm"} {
		s, err := Load(context.Background(), fixture(t, "pytrain_"+kind), "ctr", 1, loadOptions())
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if m := s.Manifest(); m.RowLen != 6 || m.TableRows != 1+500+4+64+2000 || m.Training.Rows != 30*256 || s.Engine().Schema().Inputs[0].Width != 6 {
			t.Errorf("%s: manifest %+v", kind, m)
		}
		s.Release()
	}
}
