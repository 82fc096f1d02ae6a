package classifiers_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

func TestLoad(t *testing.T) {
	w := watched(t, nil, 0)
	want := tiny("a", 1)
	w.put("a.classifier", want)
	w.serves(map[string]uint64{"a": 1})
	if f, err := w.monitor.Load("a"); err != nil || f.Version != 1 || f.Campaign != "a" || !reflect.DeepEqual(f.Features, want.Features) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := w.monitor.Load("b"); err == nil {
		t.Error("a campaign without a file is loaded")
	}
	if err := os.WriteFile(filepath.Join(w.dir, "a.classifier"), []byte("half a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.monitor.Load("a"); !errors.Is(err, classifiers.ErrDamaged) {
		t.Errorf("a damaged file gives %v", err)
	}
	w.put("a.classifier", tiny("other", 1))
	if _, err := w.monitor.Load("a"); err == nil { // noticed or not
		t.Error("another campaign's classifier is loaded")
	}
}

// TestBeyondMemory is that a bank which has room for a few classifiers of a directory lists all, and that what it has no room for is
// read again when it is asked for.
func TestBeyondMemory(t *testing.T) {
	const campaigns = 40
	w := &world{T: t, dir: t.TempDir()}
	fleet := ranktest.New(ranktest.Options{Features: 3, Values: 6000, Known: 200}) // whose classifiers share few values
	files := map[string]*classifiers.File{}
	for i := range campaigns {
		f := fleet.Classifier(i, 1)
		files[f.Campaign] = f
		w.put(f.Name(), f)
	}
	log := slog.New(slog.DiscardHandler)
	var err error
	w.bank, err = bank.New(bank.Options{Log: log, Memory: 100 << 10,
		Load: func(campaign string) (*classifiers.File, error) { return w.monitor.Load(campaign) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.bank.Close)
	if w.monitor, err = classifiers.NewMonitor(classifiers.Options{Dir: w.dir, Sink: w.bank, Log: log}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.monitor.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w.eventually("all are listed", func() bool { return len(w.versions()) == campaigns })

	ask := func(campaign string) (float64, score.Partial) {
		v := w.bank.View()
		defer v.Release()
		i, ok := v.Index(campaign)
		if !ok {
			t.Fatalf("%s is not listed", campaign)
		}
		logits := make([]float64, len(v.Campaigns()))
		partial, err := v.Score(ctx, nil, []int32{int32(i)}, logits)
		if err != nil {
			t.Fatal(err)
		}
		return logits[i], partial
	}
	missed := 0
	for name, f := range files {
		if _, partial := ask(name); partial == "" {
			continue
		}
		missed++
		if missed > 3 { // each takes a while
			continue
		}
		w.eventually(name+" is loaded", func() bool {
			logit, partial := ask(name)
			if want := f.Logit(nil); partial == "" && math.Abs(logit-want) > 1e-6 {
				t.Fatalf("%s has logit %v, want %v", name, logit, want)
			}
			return partial == ""
		})
	}
	if missed < campaigns/3 {
		t.Errorf("%d of %d were missed", missed, campaigns)
	}
}
