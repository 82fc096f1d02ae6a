package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// made writes a version of the classifiers of all campaigns, and returns the probabilities that they give.
func made(t *testing.T, root, dir string, version int) (want map[string]float64) {
	t.Helper()
	cmd := exec.Command(filepath.Join(root, ".venv/bin/python"), "testdata/estimators.py", dir, strconv.Itoa(version))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+root, "PYTHONDONTWRITEBYTECODE=1")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if err := json.Unmarshal(out.Bytes(), &want); err != nil {
		t.Fatal(err)
	}
	return want
}

var workerUp = regexp.MustCompile(`a Python process is up" role=worker pid=(\d+)`)

// The whole process with three models: estimators in Python workers, ONNX files and plans. It ranks by all of them, follows their
// directories, and goes on when a worker is killed under load.
func TestServeModels(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, listen, admin := t.TempDir(), freeAddress(t), freeAddress(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := made(t, root, dir, 1)
	write("campaigns.yaml", "campaigns:\n  - {id: shoes, model: any, value: 1, landing: 'https://shop.example/shoes'}\n  - {id: hats, model: any, value: 1, landing: 'https://shop.example/hats'}\n"+
		"  - {id: boots, model: graph, value: 1, landing: 'https://shop.example/boots'}\n  - {id: socks, model: linear, value: 1, landing: 'https://shop.example/socks'}\n")
	write("ranker.yaml", fmt.Sprintf("listen: %s\nadmin_listen: %s\nstate_dir: %[3]s/state\ncampaigns: %[3]s/campaigns.yaml\n"+
		"models: {any: {scorer: workers, directory: %[3]s/estimators}, graph: {scorer: onnx, directory: %[3]s/onnx}, linear: {scorer: plans, directory: %[3]s/store}}\n"+
		"rank: {deadline: 10s}\nlimits: {read_timeout: 1m, write_timeout: 1m, drain_delay: 0s}\n"+
		"workers: {python: %[4]s/.venv/bin/python, directory: %[4]s, count: 2, hello_timeout: 5m, answer_timeout: 1m}\n"+
		"events: {embedded_listen: %[5]s, embedded_dir: %[3]s/stream, token_file: %[3]s/stream.token}\n", listen, admin, dir, root, freeAddress(t)))
	var out bytes.Buffer
	if err := run(t.Context(), []string{"check", "--config", filepath.Join(dir, "ranker.yaml")}, &out, io.Discard); err != nil ||
		!strings.Contains(out.String(), "estimators: sound, 2 classifiers of model any\n") || !strings.Contains(out.String(), "store: sound, 1 classifiers of model linear\n") {
		t.Fatalf("%v\n%s", err, out.String())
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &lines{added: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", filepath.Join(dir, "ranker.yaml")}, io.Discard, log)
	}()
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Minute); !is(); {
			select {
			case <-log.added:
			case <-time.After(20 * time.Millisecond):
			case err := <-ended:
				t.Fatalf("ended: %v\n%s", err, log)
			}
			if time.Now().After(end) {
				t.Fatalf("%s has not come\n%s", what, log)
			}
		}
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	get := func(path string) (int, string) {
		response, err := client.Get("http://" + admin + path)
		if err != nil {
			return 0, err.Error() // it does not listen yet
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(text)
	}
	await("readiness", func() bool { status, _ := get("/readyz"); return status == http.StatusOK })

	type answer struct {
		Ranking []struct {
			Campaign    string
			Probability float64
			Version     uint64
		}
		Partial string
	}
	rank := func() (a answer, err error) {
		response, err := client.Post("http://"+listen+"/rank", "application/json", strings.NewReader(`{"profile": {"country": "DE", "device": "mobile"}}`))
		if err != nil {
			return a, err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", response.Status, text)
		}
		if err == nil {
			err = json.Unmarshal(text, &a)
		}
		return a, err
	}
	// whole says whether all campaigns have the wanted probabilities. What an answer holds must be right, whole or not.
	tolerance := map[string]float64{"shoes": 1e-12, "hats": 1e-12, "socks": 1e-12, "boots": 1e-6} // ONNX's linear models are of float32
	whole := func(a answer, version uint64, want map[string]float64) bool {
		n := 0
		for _, r := range a.Ranking {
			if r.Version == version {
				if n++; math.Abs(r.Probability-want[r.Campaign]) > tolerance[r.Campaign] {
					t.Errorf("%+v, want the probability %v", r, want[r.Campaign])
				}
			}
		}
		return n == len(want) && a.Partial == ""
	}
	ranked := func(version uint64, want map[string]float64) func() bool {
		return func() bool {
			a, err := rank()
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			return whole(a, version, want)
		}
	}
	await("a whole ranking", ranked(1, want))

	// A worker is killed under load.
	pids := workerUp.FindAllStringSubmatch(log.String(), -1)
	if len(pids) != 2 {
		t.Fatalf("%d workers are up\n%s", len(pids), log)
	}
	victim, _ := strconv.Atoi(pids[0][1])
	var stop, answers atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for stop.Load() == 0 {
				a, err := rank()
				if err != nil {
					t.Error(err)
					return
				}
				if !whole(a, 1, want) && a.Partial == "" {
					t.Errorf("%+v is not whole, and does not say so", a)
				}
				answers.Add(1)
			}
		})
	}
	await("load", func() bool { return answers.Load() > 20 })
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await("the death in the log", func() bool { return strings.Contains(log.String(), "a worker died; it is started again") })
	during := answers.Load()
	await("another worker", func() bool { return len(workerUp.FindAllString(log.String(), -1)) == 3 })
	await("answers after the death", func() bool { return answers.Load() > during+20 })
	stop.Store(1)
	load.Wait()
	await("a whole ranking after the death", ranked(1, want))
	await("the metrics", func() bool {
		_, text := get("/metrics")
		return strings.Contains(text, "gavel_workers_deaths_total 1\n") && strings.Contains(text, "gavel_workers_up 2\n") &&
			strings.Contains(text, "gavel_workers_failed_total 0\n") && strings.Contains(text, "gavel_estimators_serving{model=\"any\"} 2\n") &&
			strings.Contains(text, "gavel_plans_serving{model=\"linear\"} 1\n") && strings.Contains(text, "gavel_engines_loaded{model=\"graph\"} 1\n")
	})

	// Another version of all.
	next := made(t, root, dir, 2)
	await("the next version", ranked(2, next))
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v\n%s", err, log)
	}
}

func TestCheckWorkers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"r.yaml":             "campaigns: ../../configs/rank-campaigns.yaml\nmodels: {sale: {scorer: workers, trusted: true, directory: " + dir + "/e}}\nworkers: {python: /no/python, directory: /no/dir}\n",
		"e/a.estimator.json": `{"format": 1, "campaign": "a", "version": 0, "estimator": "a.1.joblib", "sha256": "", "rows": "one-hot"}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "e"), 0o777); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"check", "--config", filepath.Join(dir, "r.yaml")}, io.Discard, io.Discard)
	if err == nil || exitStatus(err) != 2 {
		t.Fatalf("%v", err)
	}
	for _, words := range []string{"workers.python: ", "workers.directory: ", "others than its owner can write to it", "a.estimator.json: version is 0"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("no %q in\n%v", words, err)
		}
	}
}
