package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"gavel/internal/auction"
	"gavel/internal/campaigns"
	"gavel/internal/exchange/report"
	"gavel/internal/recipe"
	"gavel/internal/strictyaml"
)

// TestExampleIsTheDefaults holds configs/exchange.yaml against the code.
func TestExampleIsTheDefaults(t *testing.T) {
	var c config
	if err := strictyaml.ReadFile(filepath.Join("..", "..", "configs", "exchange.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	want := defaults()
	if len(c.NoticeHosts) == 0 {
		c.NoticeHosts = nil
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("configs/exchange.yaml says\n%+v\nthe defaults are\n%+v", c, want)
	}
}

// noBids answers every bid request with 204.
func noBids(t *testing.T, onRequest func(n int64)) string {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		if onRequest != nil {
			onRequest(n.Add(1))
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestSimulate(t *testing.T) {
	dir := t.TempDir()
	patient := filepath.Join(dir, "patient.yaml") // no answer is late on a busy machine
	if err := os.WriteFile(patient, []byte("traffic: {tmax_min_ms: 10000, tmax_max_ms: 10000, users: 500}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, logs bytes.Buffer
	err := run(t.Context(), []string{"simulate", "--config", patient, "--bidder", noBids(t, nil), "--rate", "1000", "--limit", "200", "--seed", "3",
		"--report", filepath.Join(dir, "r.json"), "--outcomes", filepath.Join(dir, "o.csv"), "--status-listen", "127.0.0.1:0"}, &out, &logs)
	if err != nil {
		t.Fatalf("%v\n%s", err, &logs)
	}
	var r report.Report
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatal(err)
	}
	if r.Auctions != 200 || r.NoBids != 200 || r.Errors != 0 || r.Mode != "simulate" || r.Seed != 3 {
		t.Errorf("report %+v", r)
	}
	file, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil || !bytes.Equal(file, out.Bytes()) {
		t.Errorf("the report file differs from stdout: %v", err)
	}
	if o, err := os.ReadFile(filepath.Join(dir, "o.csv")); err != nil || string(o) != report.OutcomesHeader+"\n" {
		t.Errorf("outcomes %q, %v", o, err)
	}
}

// TestStatusAndSignal asks for the status while the run goes on, then ends it as a signal would.
func TestStatusAndSignal(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reached := make(chan struct{})
	bidder := noBids(t, func(n int64) {
		if n == 50 {
			close(reached)
		}
	})
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"simulate", "--bidder", bidder, "--rate", "500", "--status-listen", address, "--quiet"}, &out, io.Discard)
	}()
	<-reached
	resp, err := http.Get("http://" + address + "/status")
	if err != nil {
		t.Fatal(err)
	}
	var s report.Status
	if err := errors.Join(json.NewDecoder(resp.Body).Decode(&s), resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if s.State != "offering" || s.Auctions < 1 {
		t.Errorf("status %+v", s)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Auctions < 50 || r.Errors != 0 {
		t.Errorf("report %+v, %v", r, err)
	}
}

func TestReplay(t *testing.T) {
	dir := t.TempDir()
	path, patient := filepath.Join(dir, "few.ndjson"), filepath.Join(dir, "patient.yaml")
	if err := os.WriteFile(patient, []byte("replay: {tmax: 10s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat(`{"id":"a","imp":[{"id":"1","banner":{"w":1,"h":1}}]}`+"\n", 5)), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"replay", "--config", patient, "--data", path, "--bidder", noBids(t, nil), "--status-listen", "", "--quiet"}, &out, io.Discard)
	var r report.Report
	if err := errors.Join(err, json.Unmarshal(out.Bytes(), &r)); err != nil {
		t.Fatal(err)
	}
	if r.Auctions != 5 || r.Mode != "replay" || r.Source != "ndjson" {
		t.Errorf("report %+v", r)
	}
}

func TestBadConfiguration(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("rate: -1\ntraffic: {users: 0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(name string, want []string, args ...string) {
		t.Helper()
		err := run(t.Context(), args, io.Discard, io.Discard)
		if !errors.As(err, new(badConfig)) {
			t.Errorf("%s: %v is no configuration error", name, err)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not name %q", name, err, w)
			}
		}
	}
	f("unknown flag", []string{"--fast"}, "simulate", "--fast")
	f("every fault of a file", []string{"rate", "traffic.users", bad}, "simulate", "--config", bad)
	f("bad flag value", []string{"bidder"}, "simulate", "--bidder", "nowhere")
	f("no such log", []string{"--data"}, "replay", "--data", filepath.Join(t.TempDir(), "none"))
	f("status port", []string{"--status-listen"}, "simulate", "--status-listen", "256.0.0.1:1")
}

// TestReplaySetsAreComplete loads the recipe and the campaigns of each set that is labelled or has whole requests.
func TestReplaySetsAreComplete(t *testing.T) {
	for _, set := range []string{"ipinyou_2997", "rtbkit_auctions_20k", "criteo_attr_small", "talkingdata_100k"} {
		r, err := recipe.Load(filepath.Join("..", "..", "models", "replay", set, "recipe.yaml"))
		if err != nil {
			t.Error(err)
			continue
		}
		if r.Model != "ctr" || r.Label != recipe.Click {
			t.Errorf("%s: model %s, label %s; the bidder's configuration wants ctr and click", set, r.Model, r.Label)
		}
		if _, err := campaigns.Load(filepath.Join("..", "..", "configs", "replay", set+".campaigns.yaml"), auction.SetOptions{}); err != nil {
			t.Error(err)
		}
	}
}
