package estimators

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gavel/internal/engine/workers"
	"gavel/internal/rank/score"
)

// Estimators that pytrain wrote give what scikit-learn gives with the encoder or pipeline itself, unseen and missing values
// included; files come, are replaced, and go.
func TestDirectory(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	python, dir := filepath.Join(root, ".venv/bin/python"), t.TempDir()
	var out, said bytes.Buffer
	cmd := exec.Command(python, filepath.Join(root, "internal/rank/estimators/testdata/make.py"), dir)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+root, "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	var made struct {
		Profiles []map[string]string
		Want     map[string][]float64
	}
	if err := json.Unmarshal(out.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	pool, err := workers.Start(t.Context(), workers.Options{Python: python, Dir: root, Workers: 1, HelloTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close(context.Background())
	d, err := Open(Workers(pool), Options{Dir: dir, Readers: 1, Rescan: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	scan := func() []score.Campaign {
		t.Helper()
		if err := d.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		return d.View().Campaigns()
	}
	if campaigns := scan(); len(campaigns) != len(made.Want) || len(d.Faults()) > 0 {
		t.Fatalf("%d campaigns serve, want %d: %v", len(campaigns), len(made.Want), d.Faults())
	}
	pipe := filepath.Join(dir, "pipe"+Suffix) // nobody writes to it
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if scan(); !strings.Contains(d.Faults()[filepath.Base(pipe)], "must be a regular file") {
		t.Errorf("a pipe: %v", d.Faults())
	}
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	scan()
	for n, fields := range made.Profiles {
		var p score.Profile
		for name, value := range fields {
			p = append(p, score.Field{Name: name, Value: value})
		}
		campaigns, probabilities, partial, err := d.Probabilities(t.Context(), p)
		if err != nil || partial != "" {
			t.Fatalf("%q, %v", partial, err)
		}
		logits := make([]float64, len(campaigns))
		if partial, err = d.View().Score(t.Context(), p, nil, logits); err != nil || partial != "" {
			t.Fatalf("%q, %v", partial, err)
		}
		for i, c := range campaigns {
			want := made.Want[c.ID][n]
			if probabilities[i] != want {
				t.Errorf("%s, profile %d %v: %v, want %v", c.ID, n, fields, probabilities[i], want)
			}
			if got := 1 / (1 + math.Exp(-logits[i])); !(math.Abs(got-want) < 1e-14) {
				t.Errorf("%s, profile %d: a logit of %v, want that of %v", c.ID, n, logits[i], want)
			}
		}
	}
	view := d.View()
	if at, ok := view.Index("linear 1"); !ok || view.Campaigns()[at] != (score.Campaign{ID: "linear 1", Version: 2, Variance: 0.5}) {
		t.Errorf("%v, %v", at, ok)
	}
	prepared := pool.Stats().Loads
	if scan(); !slices.Equal(d.View().Campaigns(), view.Campaigns()) || pool.Stats().Loads != prepared {
		t.Error("a scan of an unchanged directory prepared estimators again")
	}

	// A description that is replaced by a faulty one goes on; removed, it goes.
	path := filepath.Join(dir, "linear%201"+Suffix)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := strings.Replace(string(text), `"probabilities": [0.`, `"probabilities": [0.9`, 1)
	if err := os.WriteFile(path, []byte(spoilt), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := len(scan()); n != len(made.Want) || !strings.Contains(d.Faults()[filepath.Base(path)], "gives golden profile 0 the probability") {
		t.Errorf("%d campaigns; %v", n, d.Faults())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if n := len(scan()); n != len(made.Want)-1 || len(d.Faults()) > 0 || pool.Stats().Prepared != n {
		t.Errorf("%d campaigns, %d prepared; %v", n, pool.Stats().Prepared, d.Faults())
	}

	// Followed, an estimator that comes later than its description serves when it comes.
	following, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.Run(following) }()
	eventually := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s has not come: %v", what, d.Faults())
			}
		}
	}
	variance := func() float64 {
		at, _ := d.View().Index("linear 2")
		return d.View().Campaigns()[at].Variance
	}
	eventually("readiness", d.Ready)
	estimator, described := filepath.Join(dir, "linear%202.3.skops"), filepath.Join(dir, "linear%202"+Suffix)
	put := func(to, text string) {
		t.Helper()
		aside := filepath.Join(dir, ".aside", "next")
		if err := errors.Join(os.WriteFile(aside, []byte(text), 0o644), os.Rename(aside, to)); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(estimator)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(described); err != nil {
		t.Fatal(err)
	}
	put(estimator, string(whole[:len(whole)/2])) // as a writer leaves it that does not rename
	put(described, strings.Replace(string(text), `"variance": 0.5`, `"variance": 0.25`, 1))
	eventually("the refusal", func() bool { return strings.Contains(d.Faults()[filepath.Base(described)], "another SHA-256") })
	if v := variance(); v != 0.5 {
		t.Errorf("a half-written estimator serves: variance %v", v)
	}
	put(estimator, string(whole))
	eventually("the estimator", func() bool { return variance() == 0.25 && len(d.Faults()) == 0 })
	if err := os.Remove(described); err != nil {
		t.Fatal(err)
	}
	eventually("the campaign's end", func() bool { _, there := d.View().Index("linear 2"); return !there })
	put(described, string(text))
	eventually("the campaign", func() bool { _, there := d.View().Index("linear 2"); return there })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if partial, err := d.View().Score(ctx, nil, nil, make([]float64, len(made.Want)-1)); partial != score.Deadline || err != nil {
		t.Errorf("%q, %v; want %q", partial, err, score.Deadline)
	}
	for _, e := range d.now.Load().entries {
		d.runner.Remove(e.model)
	}
	if partial, err := d.View().Score(t.Context(), nil, nil, make([]float64, len(made.Want)-1)); partial != score.Memory || err != nil {
		t.Errorf("%q, %v; want %q", partial, err, score.Memory)
	}
}

func TestDescriptions(t *testing.T) {
	const good = `{"format": 1, "campaign": "c", "version": 1, "estimator": "c.1.skops", "sha256": "` +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" + `", "rows": "one-hot", "width": 4, "features": [
		{"name": "a", "of": ["a"], "values": ["x", "y"], "columns": [0, 1], "other": 1}, {"name": "b", "of": ["a", "b"], "values": [], "columns": [], "other": 3}]}`
	if d, err := parse([]byte(good)); err != nil || d.Positive != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	f := func(old, new, words string) {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not there", old)
		}
		if _, err := parse([]byte(strings.Replace(good, old, new, 1))); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", new, err, words)
		}
	}
	f(`"format": 1`, `"format": 2`, "format is 2")
	f(`"version": 1`, `"version": 0`, "version is 0")
	f(`"campaign": "c"`, `"campaign": ""`, "campaign")
	f(`c.1.skops`, `../c.skops`, "beside the description")
	f(`e3b0`, `e3b`, "64 hex digits")
	f(`one-hot`, `dense`, "rows is")
	f(`[0, 1]`, `[0]`, "1 columns for 2 values")
	f(`[0, 1]`, `[0, 4]`, "below width")
	f(`"other": 3`, `"other": 1`, "above the last feature's")
	f(`"x", "y"`, `"x", "x"`, "twice")
	f(`["a", "b"]`, `[]`, "reads 0 fields")
	f(`"width": 4`, `"wide": 4`, "unknown field")
	f(`]}`, `]} {}`, "after its object")
}

// A word's number is given back when the last encoder that knows it goes, and is never another word's.
func TestWords(t *testing.T) {
	w := newWords()
	s := w.source([]string{"a"})
	first := w.take(s, []string{"x", "y"})
	second := w.take(s, []string{"y", "z"})
	if first[1] != second[0] {
		t.Error("one value has two numbers")
	}
	w.release(first)
	of := func(v string) uint32 { return w.of(score.Profile{{Name: "a", Value: v}})[s] }
	if of("x") != 0 || of("y") != second[0] {
		t.Errorf("x is %d, y is %d", of("x"), of("y"))
	}
	if again := w.take(s, []string{"x"}); again[0] <= second[1] {
		t.Errorf("number %d was given again", again[0])
	}
}
