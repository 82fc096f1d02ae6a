package plans

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

// made are plans that pytrain has published, and what scikit-learn gives.
type made struct {
	Profiles []map[string]string
	Want     map[string][]float64
}

// publish has Python publish pipelines into a store: those that are named, or all.
func publish(t *testing.T, store string, names ...string) (m made) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd := exec.Command(filepath.Join(root, ".venv/bin/python"), append([]string{"testdata/make.py", store}, names...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+root, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func profileOf(fields map[string]string) (p score.Profile) {
	for name, value := range fields {
		p = append(p, score.Field{Name: name, Value: value})
	}
	return p
}

// probabilities are those that the bank's view gives a profile, by campaign.
func probabilities(t *testing.T, b *bank.Bank, p score.Profile) map[string]float64 {
	t.Helper()
	view := b.View()
	defer view.Release()
	logits := make([]float64, len(view.Campaigns()))
	if partial, err := view.Score(t.Context(), p, nil, logits); err != nil || partial != "" {
		t.Fatal(partial, err)
	}
	all := map[string]float64{}
	for i, c := range view.Campaigns() {
		all[c.ID] = classifiers.Probability(logits[i])
	}
	return all
}

// planAnswers are what the plan engine itself gives the profiles.
func planAnswers(t *testing.T, store *modelsdir.Store, objects *plan.Objects, campaign string, profiles []map[string]string) (all []float64) {
	t.Helper()
	e, err := plan.Loader(objects, plan.Options{})(t.Context(), engine.Version{Model: campaign, Number: 1,
		Dir: filepath.Join(store.String(), campaign, "1", plan.Format)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b, err := e.NewBatch(1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	at := slices.IndexFunc(e.Schema().Outputs, func(f engine.Field) bool { return f.Name == "probability" })
	for _, p := range profiles {
		for i, f := range e.Schema().Inputs {
			b.Inputs()[i].Text[0] = p[f.Name]
		}
		if err := b.Run(1); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Outputs()[at].Float64[1])
	}
	return all
}

// Plans of pipelines that are linear over one-hot texts serve from a bank with the plans' own probabilities, unseen and empty values
// included; others are refused by the node that is none. They are followed: published, rolled back, damaged, removed.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	m := publish(t, dir)
	store := modelsdir.New(dir)
	objects := plan.NewObjects(filepath.Join(dir, models.ObjectsDir))
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	var f *Follower
	b, err := bank.New(bank.Options{Log: logger, Exact: true, Memory: 64 << 20, Load: func(campaign string) (*classifiers.File, error) { return f.Load(campaign) }})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if f, err = New(Options{Store: store, Sink: b, Log: logger, Retry: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	scan := func() {
		t.Helper()
		if err := f.scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	scan()
	if n := len(f.Serving()); n != len(m.Want) || n != 8 {
		t.Fatalf("%d plans serve, want %d: %v", n, len(m.Want), f.Refused())
	}
	refused := f.Refused()
	if len(refused) != 2 || !strings.Contains(refused[0].Reason, " trees (") || !strings.Contains(refused[1].Reason, "handle_unknown=") {
		t.Errorf("refused: %v", refused)
	}
	largest := 0.0
	for campaign, want := range m.Want {
		plans := planAnswers(t, store, objects, campaign, m.Profiles)
		for n, fields := range m.Profiles {
			got := probabilities(t, b, profileOf(fields))[campaign]
			largest = max(largest, math.Abs(got-plans[n]), math.Abs(got-want[n]))
		}
	}
	if !(largest <= 1e-12) {
		t.Errorf("probabilities differ by %g from the plans' and scikit-learn's", largest)
	}
	if file, err := f.Load("plain"); err != nil || file.Campaign != "plain" || file.Version != 1 {
		t.Errorf("%v, %v", file, err)
	}
	if found, err := Check(t.Context(), store); found != 10 || err == nil || strings.Count(err.Error(), plan.ErrNotOneHot.Error()) != 2 {
		t.Errorf("checked %d: %v", found, err)
	}

	// A new version serves, and what it replaced after a rollback.
	publish(t, dir, "part")
	scan()
	version := func(campaign string) uint64 {
		view := b.View()
		defer view.Release()
		i, there := view.Index(campaign)
		if !there {
			return 0
		}
		return view.Campaigns()[i].Version
	}
	if version("part") != 2 {
		t.Errorf("version %d serves, want 2", version("part"))
	}
	if _, err := models.Promote(t.Context(), store, "part", 1); err != nil {
		t.Fatal(err)
	}
	scan()
	if version("part") != 1 {
		t.Errorf("version %d serves, want 1", version("part"))
	}
	// A damaged version leaves what served.
	file := filepath.Join(dir, "part", "2", plan.Format, "plan.msgpack")
	if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := models.Promote(t.Context(), store, "part", 2); err == nil {
		scan()
		if refused := f.Refused(); version("part") != 1 || len(refused) != 3 || refused[1].File != "part/2" || refused[1].Serves != 1 {
			t.Errorf("version %d serves; %v", version("part"), refused)
		}
	} else {
		t.Fatal(err)
	}
	if _, err := models.Promote(t.Context(), store, "part", 1); err != nil {
		t.Fatal(err)
	}
	scan()
	if refused := f.Refused(); len(refused) != 2 {
		t.Errorf("after the way back: %v", refused)
	}
	// A model that goes takes its campaign along.
	if err := os.RemoveAll(filepath.Join(dir, "rare")); err != nil {
		t.Fatal(err)
	}
	scan()
	if version("rare") != 0 || len(f.Serving()) != 7 {
		t.Errorf("%d serve, a removed one at version %d", len(f.Serving()), version("rare"))
	}
	// A store that is away for a while takes nothing along.
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := f.scan(t.Context()); err == nil || len(f.Serving()) != 7 || version("part") != 1 {
		t.Errorf("without a store: %v; %d serve, want 7", err, len(f.Serving()))
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	for end := time.Now().Add(time.Minute); !f.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not ready")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
