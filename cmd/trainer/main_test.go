package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gavel/internal/auction"
	"gavel/internal/events"
	modelsdir "gavel/internal/models/dir"
)

const smallRecipe = `
model: small
label: click
architecture: {kind: logreg}
training: {batch_rows: 32, checkpoint_every_seconds: 0.2, export_every_seconds: 0.2, export_min_rows: 1}
join: {bid_wait_seconds: 10, label_wait_seconds: 0.2}
features:
  - {name: os, source: device.os, encoder: hash, buckets: 64}
`

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommandLine(t *testing.T) {
	f := func(name string, args []string, stdin string, wantStatus int, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			err := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
			status := 0
			if err != nil {
				status = exitStatus(err)
			}
			if status != wantStatus {
				t.Errorf("status %d, want %d: %v", status, wantStatus, err)
			}
			all := stdout.String() + stderr.String() + fmt.Sprint(err)
			for _, w := range want {
				if !strings.Contains(all, w) {
					t.Errorf("output lacks %q:\n%s", w, all)
				}
			}
		})
	}
	dir := t.TempDir()
	recipe := write(t, filepath.Join(dir, "recipe.yaml"), smallRecipe)
	bad := write(t, filepath.Join(dir, "bad.yaml"), "stream_url: nope\nrecipes: []\nstop_timeout: 0s\nlog: {format: xml}\nkeep_versions: 0\n")
	unknown := write(t, filepath.Join(dir, "unknown.yaml"), "recipe: x\n")
	twice := write(t, filepath.Join(dir, "twice.yaml"), fmt.Sprintf("recipes: [%s, %s]\n", recipe, recipe))
	good := write(t, filepath.Join(dir, "good.yaml"), fmt.Sprintf("recipes: [%s]\n", recipe))
	f("help", []string{"--help"}, "", 0, "Learn until SIGTERM")
	f("no command", nil, "", 2, "expected one of")
	f("features", []string{"features"}, "", 0, "user.segment.<data>", "log_bucket", "vocabulary")
	f("a bad configuration, all at once", []string{"run", "--config", bad}, "", 2, "stream_url:", "recipes:", "stop_timeout:", "log.format:", "keep_versions:")
	f("an unknown key", []string{"check", "--config", unknown}, "", 2, "line 1: field recipe not found")
	f("one model twice", []string{"check", "--config", twice}, "", 2, "small is the model of")
	f("a good one", []string{"check", "--config", good}, "", 0, "small, logreg, 1 features, 1 indices a row, 65 table rows")
	f("encode", []string{"encode", "--recipe", recipe}, "os,label\nios,1\n", 0, "type", "rows")
	f("encode a bad file", []string{"encode", "--recipe", recipe}, "os,label\nios,7\n", 1, "line 2: column label")
	f("encode by no recipe", []string{"encode", "--recipe", filepath.Join(dir, "none.yaml")}, "", 2, "none.yaml")
}

// TestShippedConfiguration checks configs/trainer.yaml, and that its values are the defaults.
func TestShippedConfiguration(t *testing.T) {
	t.Chdir("../..")
	c, recipes, err := load("configs/trainer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Recipes, want.TokenFile = c.Recipes, c.TokenFile
	if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("the file says\n%s\nthe defaults are\n%s", got, want)
	}
	if len(recipes) != 2 {
		t.Errorf("%d recipes, want 2", len(recipes))
	}
}

// TestRun runs the whole command on a real stream with the real child: events in, a model version out, a clean stop.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts TensorFlow")
	}
	w := newWorld(t, "b1")
	admin := freeAddress(t)
	config := write(t, filepath.Join(w.dir, "trainer.yaml"), fmt.Sprintf(`
admin_listen: %s
stream_url: %s
token_file: %s
store: %s/store
state_dir: %s/state
archive_dir: %s/archive
recipes: [%s]
python: [%s, -m, pytrain]
python_dir: %s
flush_every: 50ms
reorder: 100ms
log: {level: debug}
`, admin, w.server.URL(), w.server.TokenFile(), w.dir, w.dir, w.dir, write(t, filepath.Join(w.dir, "recipe.yaml"), smallRecipe), w.python, w.root))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log := &syncBuffer{}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"run", "--config", config}, strings.NewReader(""), io.Discard, log) }()
	poll := func(what string, condition func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
			select {
			case err := <-ended:
				t.Fatalf("ended while waiting: %s: %v\n%s", what, err, log.String())
			default:
			}
			if time.Now().After(deadline) {
				t.Fatalf("timed out: %s\n%s", what, log.String())
			}
		}
	}
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + admin + path)
		if err != nil {
			return 0, ""
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	poll("ready", func() bool { code, _ := get("/readyz"); return code == http.StatusOK })

	var second bytes.Buffer
	if err := run(t.Context(), []string{"run", "--config", config}, strings.NewReader(""), io.Discard, &second); err == nil ||
		!strings.Contains(err.Error(), "another trainer uses this state_dir") {
		t.Errorf("a second trainer on the same state: %v", err)
	}

	now := time.Now()
	for i := range 200 {
		id := fmt.Sprintf("bid%d", i)
		req := &auction.Request{ID: id, Received: now, Impressions: []auction.Impression{{ID: "1"}}, Device: auction.Device{OS: []string{"ios", "android"}[i%2]}}
		bid := &auction.Bid{ID: id, Price: 500, Prediction: auction.Prediction{Click: 0.25, ClickVersion: 3},
			Candidate: auction.Candidate{Campaign: &auction.Campaign{ID: "c"}, Creative: &auction.Creative{ID: "x"}}}
		batch := []events.Event{events.NewBid(req, bid, now), {ID: events.EventID(events.TypeImpression, id), Type: events.TypeImpression, Key: id, Time: now.UnixMilli()}}
		if i%4 == 0 {
			batch = append(batch, events.Event{ID: events.EventID(events.TypeClick, id), Type: events.TypeClick, Key: id, Time: now.UnixMilli() + 1})
		}
		for j := range batch {
			if err := w.publisher.Publish(&batch[j]); err != nil {
				t.Fatal(err)
			}
		}
	}
	store := modelsdir.New(filepath.Join(w.dir, "store"))
	metrics := ""
	poll("a published version", func() bool { p, _, err := store.Pointer(t.Context(), "small"); return err == nil && p.Stable >= 1 })
	poll("metrics of all examples", func() bool {
		_, metrics = get("/metrics")
		return strings.Contains(metrics, `gavel_trainer_served_labels_total{model="small"} 50`)
	})
	for _, want := range []string{`gavel_trainer_served_examples_total{model="small"} 200`, `gavel_trainer_served_probability_total{model="small"} 50`,
		`gavel_trainer_examples_total{label="1",model="small"} 50`, `gavel_trainer_joins_total{model="small",outcome="example"} 200`,
		`gavel_trainer_child_up{model="small"} 1`, `gavel_trainer_child_restarts_total{model="small"} 0`} {
		poll(want, func() bool { _, metrics = get("/metrics"); return strings.Contains(metrics, want) })
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("stop: %v\n%s", err, log.String())
		}
	case <-time.After(time.Minute):
		t.Fatalf("did not stop\n%s", log.String())
	}
	if code, _ := get("/healthz"); code != 0 {
		t.Errorf("the admin port still answers %d", code)
	}
}
