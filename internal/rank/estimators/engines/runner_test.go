package engines_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/onnx"
	"gavel/internal/rank/estimators"
	"gavel/internal/rank/estimators/engines"
	"gavel/internal/rank/score"
)

// made is what testdata/make.py has written.
type made struct {
	Profiles []map[string]string
	Want     map[string][]float64
	Named    []map[string]string
	Logits   []float64
}

func write(t testing.TB, dir string) (m made) {
	t.Helper()
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	cmd := exec.Command(filepath.Join(root, ".venv/bin/python"), "testdata/make.py", dir)
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

// serve opens a directory of ONNX files. The engines are freed with the test.
func serve(t testing.TB, dir string, memory int64) *estimators.Directory {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r, err := engines.New(engines.Options{Endings: []string{".onnx"}, Memory: memory, Log: log,
		Open: func(ctx context.Context, data []byte) (engine.Engine, error) {
			return onnx.Open(ctx, data, onnx.Options{})
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		if models, batches := onnx.Live(); models+batches > 0 {
			t.Errorf("%d models and %d batches are not freed", models, batches)
		}
	})
	d, err := estimators.Open(r, estimators.Options{Dir: dir, Readers: 1, Rescan: time.Hour, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func profileOf(fields map[string]string) (p score.Profile) {
	for name, value := range fields {
		p = append(p, score.Field{Name: name, Value: value})
	}
	return p
}

// ONNX files give what scikit-learn gives with the encoder, unseen and missing values included, and models with named inputs what
// they say, also to requests at once. Files that do not fit their description are refused by name.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	m := write(t, dir)
	d := serve(t, dir, 0)
	scan := func() {
		t.Helper()
		if err := d.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if scan(); len(d.View().Campaigns()) != 3 || len(d.Faults()) > 0 {
		t.Fatalf("%v serve; %v", d.View().Campaigns(), d.Faults())
	}
	if at, _ := d.View().Index("linear 0"); d.View().Campaigns()[at] != (score.Campaign{ID: "linear 0", Version: 7, Variance: 0.5}) {
		t.Errorf("%+v", d.View().Campaigns()[at])
	}
	ask := func(p score.Profile) map[string]float64 {
		campaigns, probabilities, _, err := d.Probabilities(t.Context(), p)
		if err != nil {
			t.Error(err)
		}
		all := map[string]float64{}
		for i, c := range campaigns {
			all[c.ID] = probabilities[i]
		}
		return all
	}
	var requests sync.WaitGroup
	for range 4 {
		requests.Go(func() {
			for n, fields := range m.Profiles {
				got := ask(profileOf(fields))
				for campaign, want := range m.Want {
					if !(math.Abs(got[campaign]-want[n]) <= 1e-6) {
						t.Errorf("%s, profile %d %v: %v, want %v", campaign, n, fields, got[campaign], want[n])
					}
				}
				if !math.IsNaN(got["named"]) {
					t.Errorf("a profile without a price has the probability %v", got["named"])
				}
			}
		})
	}
	requests.Wait()
	for n, fields := range m.Named {
		if got, want := ask(profileOf(fields))["named"], 1/(1+math.Exp(-m.Logits[n])); !(math.Abs(got-want) <= 1e-6) {
			t.Errorf("%v: %v, want %v", fields, got, want)
		}
	}

	refused := func(campaign, old, new, words string) {
		t.Helper()
		path := filepath.Join(dir, campaign+estimators.Suffix)
		good, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(good), old) {
			t.Fatalf("%v; no %q in %s", err, old, good)
		}
		put := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			scan()
		}
		put(strings.Replace(string(good), old, new, 1))
		if why := d.Faults()[filepath.Base(path)]; !strings.Contains(why, words) {
			t.Errorf("%s: refused by %q, want %q", new, why, words)
		}
		if len(d.View().Campaigns()) != 3 {
			t.Errorf("%s: what served before is gone", new)
		}
		put(string(good))
	}
	refused("linear%200", `"width": `, `"width": 1`, "one-hot rows need one input of floats")
	refused("linear%200", `"positive": 1`, `"positive": 2`, "gives the probabilities of 2 classes")
	refused("linear%200", `"probabilities": [0.`, `"probabilities": [0.9`, "gives golden profile 0 the probability")
	refused("linear%200", `"sha256": "`, `"sha256": "00`, "64 hex digits")
	refused("linear%200", `7.onnx"`, `7.skops"`, "only files that end with .onnx")
	refused("named", `"name": "land"`, `"name": "lands"`, `has no input "lands"`)
	refused("named", `"type": "float64"`, `"type": "int64"`, `input "price" is float32[N, 1], its column is described as int64`)
	if len(d.Faults()) > 0 {
		t.Errorf("at the end: %v", d.Faults())
	}
}

// With a bound on memory, what is asked for is loaded and stays, and the others are missed. Nothing is lost.
func TestBound(t *testing.T) {
	const all, bound = 12, 6 * 220 << 10 // some six engines
	dir := t.TempDir()
	write(t, dir)
	copies(t, dir, all)
	d := serve(t, dir, bound)
	if err := d.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	view := d.View()
	if len(view.Campaigns()) != all || len(d.Faults()) > 0 {
		t.Fatalf("%v serve; %v", view.Campaigns(), d.Faults())
	}
	p, logits := profileOf(map[string]string{"country": "DE"}), make([]float64, all)
	partial, err := view.Score(t.Context(), p, nil, logits)
	if scored := count(logits); err != nil || partial != score.Memory || scored < 4 || scored > 7 {
		t.Errorf("%d scored, %q, %v; want some six and %q", scored, partial, err, score.Memory)
	}
	for at := range logits {
		if !math.IsNaN(logits[at]) {
			continue
		}
		for end := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Microsecond) {
			logits := make([]float64, all)
			partial, err := view.Score(t.Context(), p, []int32{int32(at)}, logits)
			if err != nil {
				t.Fatal(err)
			}
			if partial == "" && !math.IsNaN(logits[at]) {
				break
			}
			if partial != score.Memory || time.Now().After(end) {
				t.Fatalf("%d is not loaded: %q", at, partial)
			}
		}
	}
	if n := d.Bytes(); n > bound {
		t.Errorf("%d bytes in memory, may be %d", n, bound)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if partial, err := view.Score(ctx, p, nil, logits); partial != score.Deadline || err != nil || count(logits) != 0 {
		t.Errorf("%q, %v", partial, err)
	}
}

// copies leaves n descriptions of one model in a directory, each of a campaign of its own.
func copies(t testing.TB, dir string, n int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "linear%200"+estimators.Suffix))
	if err != nil {
		t.Fatal(err)
	}
	described, err := filepath.Glob(filepath.Join(dir, "*"+estimators.Suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range described {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		name := fmt.Sprintf("copy%d", i)
		copied := strings.Replace(string(text), `"campaign": "linear 0"`, `"campaign": "`+name+`"`, 1)
		if err := os.WriteFile(filepath.Join(dir, name+estimators.Suffix), []byte(copied), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func count(logits []float64) (scored int) {
	for _, z := range logits {
		if !math.IsNaN(z) {
			scored++
		}
	}
	return scored
}
