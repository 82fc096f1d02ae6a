package classifiers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// world is a directory, a bank, and a monitor between them.
type world struct {
	*testing.T
	dir     string
	bank    *bank.Bank
	monitor *classifiers.Monitor
	metrics *prometheus.Registry
}

// watched starts a monitor of an empty directory; it is stopped when the test ends.
func watched(t *testing.T, stall func(), rescan time.Duration) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := &world{T: t, dir: t.TempDir(), metrics: prometheus.NewRegistry()}
	var err error
	if w.bank, err = bank.New(bank.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	w.monitor, err = classifiers.NewMonitor(classifiers.Options{Dir: w.dir, Sink: w.bank, Rescan: rescan, Settle: time.Millisecond, Readers: 2, Log: log, Registerer: w.metrics})
	if err != nil {
		t.Fatal(err)
	}
	if stall != nil {
		w.monitor.Stall(stall)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := w.monitor.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		run.Wait()
		w.bank.Close()
	})
	w.eventually("it is ready", w.monitor.Ready)
	return w
}

func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not within 30 s: %s; refused are %+v", what, w.monitor.Refused())
		}
	}
}

// put renames a file into place, without syncing it.
func (w *world) put(name string, f *classifiers.File) {
	w.Helper()
	data, err := classifiers.Encode(f)
	aside := filepath.Join(w.dir, ".aside")
	if err := errors.Join(err, os.MkdirAll(aside, 0o755), os.WriteFile(filepath.Join(aside, name), data, 0o644),
		os.Rename(filepath.Join(aside, name), filepath.Join(w.dir, name))); err != nil {
		w.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.Helper()
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		w.Fatal(err)
	}
}

// versions are those that serve, by campaign.
func (w *world) versions() map[string]uint64 {
	v := w.bank.View()
	defer v.Release()
	all := map[string]uint64{}
	for _, c := range v.Campaigns() {
		all[c.ID] = c.Version
	}
	return all
}

func (w *world) serves(want map[string]uint64) {
	w.Helper()
	w.eventually(fmt.Sprintf("%v serves", want), func() bool { return maps.Equal(w.versions(), want) })
}

// refused waits until exactly these files do not serve, each with its reason.
func (w *world) refused(reasons map[string]string) {
	w.Helper()
	w.eventually(fmt.Sprintf("refused are %v", reasons), func() bool {
		all := w.monitor.Refused()
		return len(all) == len(reasons) && !slices.ContainsFunc(all, func(r classifiers.Refusal) bool {
			return !strings.Contains(r.Reason, reasons[r.File]) || reasons[r.File] == "" || r.Remedy == "" || r.Since.IsZero()
		})
	})
}

func (w *world) rescans(cause string) float64 {
	families, err := w.metrics.Gather()
	if err != nil {
		w.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "gavel_classifiers_rescans_total" && m.GetLabel()[0].GetValue() == cause {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// tiny is a classifier whose probabilities tell its version: each of its weights is.
func tiny(campaign string, version uint64) *classifiers.File {
	return &classifiers.File{Kind: classifiers.Classifier, Campaign: campaign, Version: version, Intercept: float64(version),
		Features: []classifiers.Feature{{Name: "a", Of: []string{"a"}, Values: []string{"x"}, Weights: []float64{-float64(version)}, Other: float64(version)}}}
}

func TestComeAndGo(t *testing.T) {
	w := watched(t, nil, time.Minute)
	fleet := ranktest.New(ranktest.Options{Features: 3, Values: 60, Known: 10, Prior: true, Golden: 4})
	c0, c1, prior := fleet.Classifier(0, 1), fleet.Classifier(1, 1), fleet.Prior()
	w.put(c0.Name(), c0)
	waits := "waits for prior 1000"
	w.refused(map[string]string{c0.Name(): waits})
	w.put(prior.Name(), prior)
	w.serves(map[string]uint64{c0.Campaign: 1})
	w.refused(nil)
	w.put(c1.Name(), c1)
	w.put(c0.Name(), fleet.Classifier(0, 2))
	w.put("alone.classifier", tiny("alone", 3))
	w.serves(map[string]uint64{c0.Campaign: 2, c1.Campaign: 1, "alone": 3})
	w.remove(c1.Name())
	w.serves(map[string]uint64{c0.Campaign: 2, "alone": 3})
	w.remove(prior.Name())
	w.serves(map[string]uint64{"alone": 3})
	w.refused(map[string]string{c0.Name(): waits})
	w.put(prior.Name(), prior)
	w.serves(map[string]uint64{c0.Campaign: 2, "alone": 3})
	w.put("alone.classifier", tiny("alone", 2)) // what the file holds counts
	w.serves(map[string]uint64{c0.Campaign: 2, "alone": 2})
	w.put("alone.classifier", tiny("other", 1)) // it holds another campaign
	w.serves(map[string]uint64{c0.Campaign: 2, "other": 1})
	w.put("renamed.classifier", tiny("other", 1))
	w.refused(map[string]string{"renamed.classifier": "higher or equal version in alone.classifier"})
	w.remove("alone.classifier")
	w.serves(map[string]uint64{c0.Campaign: 2, "other": 1})
	w.refused(nil)
	other := *prior
	other.Intercept++
	other.Golden = classifiers.Golden{}
	w.put("prior.again.classifier", &other)
	w.refused(map[string]string{"prior.again.classifier": "prior 1000 serves already"})
	w.remove("prior.again.classifier")
	for name, text := range map[string]string{"README": "no classifier", ".hidden.classifier": "nor this", "x.classifier.tmp": "nor this"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.refused(nil)
}

func TestServing(t *testing.T) {
	w := watched(t, nil, time.Minute)
	a := tiny("a", 1)
	a.TrainedMs, a.Rows, a.Positives = 1_700_000_000_000, 50, 2
	w.put("a.classifier", a)
	w.serves(map[string]uint64{"a": 1})
	a.Version, a.Intercept, a.Features[0].Weights[0], a.Features[0].Other = 2, 2, -2, 2
	w.put("a.classifier", a)
	w.put("b.classifier", tiny("b", 7))
	want := []classifiers.Serving{
		{Campaign: "a", Version: 2, Trained: time.UnixMilli(1_700_000_000_000), Rows: 50, Positives: 2, Weights: 1, Updates: 1},
		{Campaign: "b", Version: 7, Trained: time.UnixMilli(0), Weights: 1},
	}
	is := func(want []classifiers.Serving) { // the monitor notes what serves just after the bank serves it
		t.Helper()
		w.eventually(fmt.Sprintf("serving are %+v", want), func() bool {
			got := w.monitor.Serving()
			slices.SortFunc(got, func(a, b classifiers.Serving) int { return strings.Compare(a.Campaign, b.Campaign) })
			return slices.Equal(got, want)
		})
	}
	is(want)
	w.remove("a.classifier")
	is(want[1:])
}

func TestDamagedFiles(t *testing.T) {
	w := watched(t, nil, time.Minute)
	good, err := classifiers.Encode(tiny("c", 2))
	if err != nil {
		t.Fatal(err)
	}
	w.put("c.classifier", tiny("c", 1))
	w.serves(map[string]uint64{"c": 1})
	path := filepath.Join(w.dir, "c.classifier")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil { // in place, as nobody should
			t.Fatal(err)
		}
	}
	changed := slices.Clone(good)
	changed[len(changed)/2] ^= 1
	for reason, data := range map[string][]byte{"0 bytes": nil, "the head tells": good[:len(good)/2], "checksum": changed, "begin as": []byte(strings.Repeat("x", 500))} {
		write(data)
		w.refused(map[string]string{"c.classifier": reason})
		if r := w.monitor.Refused()[0]; r.Serves != 1 || !maps.Equal(w.versions(), map[string]uint64{"c": 1}) {
			t.Errorf("%s: %+v; %v serves", reason, r, w.versions())
		}
	}
	write(good)
	w.serves(map[string]uint64{"c": 2})
	w.refused(nil)

	wrong := tiny("d", 1)
	wrong.Golden = classifiers.Golden{Fields: []string{"a"}, Profiles: [][]string{{"x"}}, Probabilities: []float64{0.25}}
	w.put("d.classifier", wrong)
	late := tiny("e", 1)
	late.Prior = 9
	w.put("e.classifier", late)
	if err := errors.Join(os.Mkdir(filepath.Join(w.dir, "f.classifier"), 0o755), syscall.Mkfifo(filepath.Join(w.dir, "g.classifier"), 0o644)); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create(filepath.Join(w.dir, "h.classifier"))
	if err := errors.Join(err, large.Truncate(classifiers.MaxBytes+1), large.Close(), os.Symlink("i.classifier", filepath.Join(w.dir, "i.classifier"))); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"d.classifier": "golden probabilities differ", "e.classifier": "waits for prior 9", "f.classifier": "no regular file",
		"g.classifier": "no regular file", "h.classifier": "more than", "i.classifier": "cannot be read"}
	w.refused(all)
	w.serves(map[string]uint64{"c": 2})
	for name := range all {
		w.remove(name)
	}
	w.refused(nil)
}

func TestRivals(t *testing.T) {
	w := watched(t, nil, time.Minute)
	for i, version := range []uint64{5, 9, 7, 9} { // "1" and "3" have the highest
		w.put(fmt.Sprint(i, ".classifier"), tiny("c", version))
	}
	w.serves(map[string]uint64{"c": 9})
	w.refused(map[string]string{"0.classifier": "in 1.", "2.classifier": "in 1.", "3.classifier": "in 1."})
	w.remove("1.classifier")
	w.serves(map[string]uint64{"c": 9})
	w.refused(map[string]string{"0.classifier": "in 3.", "2.classifier": "in 3."})
	w.put("3.classifier", tiny("c", 6))
	w.serves(map[string]uint64{"c": 7})
	w.refused(map[string]string{"0.classifier": "in 2.", "3.classifier": "in 2."})
	w.put("0.classifier", tiny("d", 1))
	w.remove("2.classifier")
	w.serves(map[string]uint64{"c": 6, "d": 1})
	w.refused(nil)
}

// TestOverflow is 20,000 file events while nobody takes notifications, so that the kernel drops the last ones. They are those of
// files that change once only.
func TestOverflow(t *testing.T) {
	var gate sync.RWMutex // closed: nobody takes notifications
	w := watched(t, func() {
		gate.RLock()
		gate.RUnlock()
	}, time.Minute)
	for _, name := range []string{"a", "b", "c"} {
		w.put(name+".classifier", tiny(name, 1))
	}
	w.serves(map[string]uint64{"a": 1, "b": 1, "c": 1})
	w.put("storm.classifier", tiny("storm", 1))
	func() {
		gate.Lock()
		defer gate.Unlock()
		in, out := filepath.Join(w.dir, "storm.classifier"), filepath.Join(w.dir, ".aside", "storm")
		for range 10_000 {
			if err := errors.Join(os.Rename(in, out), os.Rename(out, in)); err != nil {
				t.Fatal(err)
			}
		}
		w.put("a.classifier", tiny("a", 2))
		w.put("new.classifier", tiny("new", 1))
		w.remove("b.classifier")
	}()
	w.serves(map[string]uint64{"a": 2, "c": 1, "new": 1, "storm": 1})
	w.refused(nil)
	if w.rescans("overflow") == 0 {
		t.Error("no notification was lost: the test shows nothing")
	}
}

// TestRescan is that changes are found without notifications too.
func TestRescan(t *testing.T) {
	stalled := make(chan struct{})
	w := watched(t, func() { <-stalled }, 20*time.Millisecond)
	defer close(stalled)
	w.put("a.classifier", tiny("a", 1))
	w.put("b.classifier", tiny("b", 1))
	w.serves(map[string]uint64{"a": 1, "b": 1})
	w.put("a.classifier", tiny("a", 2))
	w.remove("b.classifier")
	w.serves(map[string]uint64{"a": 2})
	moved := w.dir + ".moved"
	if err := os.Rename(w.dir, moved); err != nil { // as a volume that is gone for a while
		t.Fatal(err)
	}
	before := w.rescans("timer")
	w.eventually("three rescans later", func() bool { return w.rescans("timer") > before+3 })
	w.serves(map[string]uint64{"a": 2})
	if err := os.Rename(moved, w.dir); err != nil {
		t.Fatal(err)
	}
	w.put("a.classifier", tiny("a", 3))
	w.serves(map[string]uint64{"a": 3})
}

// TestDirectoryReplaced is that a directory that takes the place of the one that is watched is watched too.
func TestDirectoryReplaced(t *testing.T) {
	w := watched(t, nil, time.Minute)
	w.put("a.classifier", tiny("a", 1))
	w.serves(map[string]uint64{"a": 1})
	if err := errors.Join(os.Rename(w.dir, w.dir+".old"), os.Mkdir(w.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	w.eventually("it is watched", func() bool { return w.rescans("overflow") > 0 })
	w.put("b.classifier", tiny("b", 1))
	w.serves(map[string]uint64{"b": 1})
}

// TestChurn replaces and removes files while profiles are scored, some of them in place and half-written: every answer is of a
// whole classifier.
func TestChurn(t *testing.T) {
	w := watched(t, nil, time.Minute)
	const campaigns, rounds = 20, 12
	done := make(chan struct{})
	var readers sync.WaitGroup
	var answers int
	readers.Go(func() {
		ctx := context.Background()
		logits := make([]float64, campaigns)
		for {
			select {
			case <-done:
				return
			default:
			}
			v := w.bank.View()
			all := v.Campaigns()
			known, other := slices.Clone(logits[:len(all)]), slices.Clone(logits[:len(all)])
			_, err := v.Score(ctx, score.Profile{{Name: "a", Value: "x"}}, nil, known)
			_, err2 := v.Score(ctx, nil, nil, other)
			if err := errors.Join(err, err2); err != nil {
				t.Error(err)
			}
			for i, c := range all {
				if answers++; known[i] != 0 || other[i] != 2*float64(c.Version) {
					t.Errorf("version %d of %s gives %v and %v", c.Version, c.ID, known[i], other[i])
				}
			}
			v.Release()
		}
	})
	want := map[string]uint64{}
	for round := range uint64(rounds) {
		for i := range campaigns {
			name := fmt.Sprint("c", i)
			file := name + ".classifier"
			switch {
			case (i+int(round))%5 == 0 && want[name] > 0:
				w.remove(file)
				delete(want, name)
				continue
			case i%4 == 0:
				data, err := classifiers.Encode(tiny(name, round+1))
				f, err2 := os.Create(filepath.Join(w.dir, file))
				if err := errors.Join(err, err2); err != nil {
					t.Fatal(err)
				}
				for part := range slices.Chunk(data, 40) {
					if _, err := f.Write(part); err != nil {
						t.Fatal(err)
					}
				}
				f.Close()
			default:
				w.put(file, tiny(name, round+1))
			}
			want[name] = round + 1
		}
		if round%4 == 3 {
			w.serves(want)
		}
	}
	w.refused(nil)
	close(done)
	readers.Wait()
	if answers < 1000 {
		t.Errorf("%d answers only", answers)
	}
}
