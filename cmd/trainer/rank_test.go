package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gavel/internal/datasets"
	"gavel/internal/events"
)

// Clicks and sales on a real stream become a data set and, by the real pytrain, a classifier.
func TestRank(t *testing.T) {
	w := newWorld(t, "r1")
	campaigns := write(t, filepath.Join(w.dir, "campaigns.yaml"), "campaigns:\n- {id: shoes, landing: 'https://shop.example/shoes', value: 2}\n")
	config := write(t, filepath.Join(w.dir, "rank-trainer.yaml"), fmt.Sprintf(`
admin_listen: %s
stream_url: %s
token_file: %s
campaigns: %s
datasets: %s/datasets
classifiers: %s/classifiers
recipe: %s
python: [%s, -m, pytrain]
python_dir: %s
window: 200ms
reorder: 100ms
flush_every: 200ms
`, freeAddress(t), w.server.URL(), w.server.TokenFile(), campaigns, w.dir, w.dir, filepath.Join(w.root, "models/sale/prior.yaml"), w.python, w.root))

	const clicks, everySale = 600, 5
	now := time.Now()
	for i := range clicks {
		id := fmt.Sprintf("click%d", i)
		batch := []events.Event{{
			ID: events.EventID(events.TypeRanking, id), Type: events.TypeRanking, Key: id, Time: now.UnixMilli(), Campaign: "shoes",
			Ranking: &events.Ranking{Policy: "epsilon-greedy", Propensity: 0.5, Fields: []string{"device", "country"}, Values: []string{"phone", []string{"DE", "PT"}[i%2]}},
		}}
		if i%everySale == 0 {
			batch = append(batch, events.Event{ID: events.EventID(events.TypeSale, id), Type: events.TypeSale, Key: id, Time: now.UnixMilli() + 1, Campaign: "shoes", Price: 2_000_000})
		}
		for j := range batch {
			if err := w.publisher.Publish(&batch[j]); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log := &syncBuffer{}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"rank", "--config", config}, strings.NewReader(""), io.Discard, log)
	}()
	classifier := filepath.Join(w.dir, "classifiers", "shoes.classifier")
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(classifier); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("ended: %v\n%s", err, log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("no classifier\n%s", log.String())
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatalf("stop: %v\n%s", err, log.String())
	}
	index, err := datasets.ReadIndex(filepath.Join(w.dir, "datasets", "sale"))
	if err != nil {
		t.Fatal(err)
	}
	if c := index.Campaigns["shoes"]; c.Rows != clicks || c.Positives != clicks/everySale {
		t.Errorf("the data set has %+v, want %d clicks and %d sales\n%s", c, clicks, clicks/everySale, log.String())
	}
}

func TestRankConfig(t *testing.T) {
	config := write(t, filepath.Join(t.TempDir(), "c.yaml"), "window: 0s\nfields: []\nretention: 1ms\nadmin_listen: x\nunknown: 1\n")
	err := run(t.Context(), []string{"rank", "--config", config}, strings.NewReader(""), io.Discard, io.Discard)
	if err == nil || exitStatus(err) != 2 {
		t.Fatalf("a bad configuration gave %v", err)
	}
	if !strings.Contains(err.Error(), "unknown") {
		t.Errorf("the error does not name the unknown key: %v", err)
	}
}
