package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"gavel/internal/batcher"
)

// load reads a configuration of these lines.
func load(t *testing.T, text string) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(path)
}

func TestConfigFaultsAreAllReported(t *testing.T) {
	f := func(name, text string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, err := load(t, text)
			if err == nil {
				t.Fatalf("expected %d faults, got none", len(want))
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(want) {
				t.Errorf("%d faults, want %d", len(lines), len(want))
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), "b.yaml: "+w) {
					t.Errorf("no fault %q", w)
				}
			}
			if t.Failed() {
				t.Log(err)
			}
		})
	}
	f("what cannot be read", "batcher: {max_wiat: 2ms, runners: two}\nlimits: {read_timeout: 5}\n",
		"line 1: field max_wiat not found", "line 1: cannot unmarshal !!str `two` into int", "line 2: cannot unmarshal !!int `5` into time.Duration")
	f("empty", "name: ''\nstate_dir: ''\ncampaigns: ''\nmodel_store: ''\nauction: {click: '', seat: ''}\nevents: {token_file: '', embedded_dir: ''}\n",
		"name: ", "state_dir: ", "campaigns: ", "model_store: ", "auction.click: ", "auction.seat: ", "events.token_file: ", "events.embedded_dir: ")
	f("addresses", "listen: 8090\nadmin_listen: localhost\npublic_url: bidder.example\nevents: {embedded_listen: ':nats'}\n",
		`listen: "8090"`, `admin_listen: "localhost"`, `public_url: "bidder.example"`, `events.embedded_listen: ":nats"`)
	f("an outside stream", "events: {url: 'stream:4222', embedded_listen: ''}\n", `events.url: "stream:4222"`)
	f("the auction", "auction: {currency: usd, no_bid_status: 404, tmax_default: 2s, tmax_margin: 3s, first_price_bidders: 0.5, max_candidates: 129}\n",
		"auction.currency: ", "auction.no_bid_status: 404", "auction.tmax_default: 2s must be 10ms to 1s", "auction.tmax_margin: 3s",
		"auction.first_price_bidders: 0.5", "auction.max_candidates: 129 must be 1 to 128")
	f("the batcher", "batcher: {policy: lazy, runners: 0, max_rows: 70000, max_wait: 2m, queue_rows: 5000000}\n",
		`batcher.policy: "lazy"`, "batcher.runners: 0", "batcher.max_rows: 70000", "batcher.max_wait: 2m0s",
		"batcher.queue_rows: 5000000")
	f("a queue shorter than a batch", "batcher: {max_rows: 128, queue_rows: 64}\n", "batcher.queue_rows: 64 is less than max_rows (128)")
	f("a model's batches", "models:\n  ctr: {policy: lazy, max_rows: 0, max_wait: 0s, queue_rows: 5000000}\n"+
		"  cvr: {weight: 0, max_runners: 0, runners: 2000, nice: 20}\n",
		`models.ctr.policy: "lazy" is none of [adaptive eager window off]`, "models.ctr.max_rows: 0 must be 1 to 65536",
		"models.ctr.max_wait: 0s", "models.ctr.queue_rows: 5000000",
		"models.cvr.weight: 0", "models.cvr.max_runners: 0", "models.cvr.runners: 2000", "models.cvr.nice: 20 must be 0 to 19")
	f("no numbers of a model", "models: {ctr: {weight: .nan}}\n", "models.ctr.weight: NaN")
	f("models that are not served", "models: {cvr: {}, '': {runners: 0}, 'A/b':}\nauction: {conversion: crv}\n", `auction.click: "ctr" is not among models: ["" "A/b" "cvr"]`,
		`auction.conversion: "crv" is not among models`, `models.: `, "models..runners: 0", `models.A/b: `)
	f("a model's queue shorter than a batch", "batcher: {queue_rows: 256}\nmodels: {ctr: {max_rows: 512}, cvr: {queue_rows: 100}}\n",
		"models.ctr.queue_rows: 256 is less than max_rows (512)", "models.cvr.queue_rows: 100 is less than max_rows (128)")
	f("nice without runners", "models: {ctr: {nice: 5}}\n", "models.ctr.nice: the model shares its runners")
	f("nice with nobody to be so", "batcher: {policy: off}\nmodels: {ctr: {nice: 5, runners: 1}}\n", "models.ctr.nice: under policy off")
	f("an unknown setting of a model", "models: {ctr: {max_row: 5}}\n", "line 1: field max_row not found")
	f("TensorFlow", "tensorflow: {threading: gpu}\n", `tensorflow.threading: "gpu" is none of [caller default]`)
	f("limits", "limits: {body_bytes: 0, auctions: -1, connections: 0, read_timeout: 0s, write_timeout: -1s, idle_timeout: 0s}\n",
		"limits.body_bytes: ", "limits.auctions: ", "limits.connections: ", "limits.read_timeout: ", "limits.write_timeout: ", "limits.idle_timeout: ")
	f("no numbers", "auction: {first_price_bidders: .inf}\nbudget: {lease_share: .nan}\n",
		"auction.first_price_bidders: +Inf", "budget.lease_share: NaN")
	f("money", "budget: {reservation: 0s, lease_share: 1.5}\n", "budget.reservation: ", "budget.lease_share: 1.5")
	f("events", "events: {max_bytes: 0, max_age: 0s, spill_max_bytes: 0}\n", "events.max_bytes: ", "events.max_age: ", "events.spill_max_bytes: ")
	f("a long name", "name: "+strings.Repeat("b", 65), "name: is 65 bytes long")
	f("the log", "log: {level: loud, format: xml}\n", `log.level: "loud"`, `log.format: "xml"`)
}

func TestConfigOfAnEmptyFile(t *testing.T) {
	c, err := load(t, "")
	if err != nil || !reflect.DeepEqual(c, Defaults()) {
		t.Errorf("got %+v, %v", c, err)
	}
}

// The file that a newcomer runs holds the defaults, written out, and the model of conversions besides.
func TestConfigInTheRepositoryHoldsTheDefaults(t *testing.T) {
	c, err := LoadConfig("../../configs/bidder.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Auction.Conversion = "cvr"
	want.Models = map[string]ModelSettings{"ctr": {}, "cvr": {}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// What a model leaves out is as in batcher; a pool of its own is made for the model that asks for runners.
func TestConfigOfAModelsBatches(t *testing.T) {
	c, err := load(t, "batcher: {max_rows: 64, runners: 3}\nmodels: {ctr: , cvr: {policy: eager, max_rows: 32, max_wait: 5ms, "+
		"queue_rows: 320, weight: 0.5, max_runners: 2, runners: 2, nice: 10}}\n")
	if err != nil {
		t.Fatal(err)
	}
	ctr, cvr := c.batching("ctr"), c.batching("cvr")
	if want := (batcher.QueueOptions{Policy: "adaptive", MaxRows: 64, MaxWait: batcher.DefaultMaxWait, QueueRows: 4096, Weight: 1,
		CalibrationRuns: 8}); ctr.queue != want || ctr.own != nil {
		t.Errorf("ctr: %+v, pool %+v, want %+v and none", ctr.queue, ctr.own, want)
	}
	if want := (batcher.QueueOptions{Policy: "eager", MaxRows: 32, MaxWait: 5 * time.Millisecond, QueueRows: 320, Weight: 0.5,
		MaxRunners: 2, CalibrationRuns: 8}); cvr.queue != want || cvr.own == nil || !reflect.DeepEqual(*cvr.own, batcher.PoolOptions{Runners: 2, Nice: 10}) {
		t.Errorf("cvr: %+v, pool %+v, want %+v and 2 runners with nice 10", cvr.queue, cvr.own, want)
	}
}

// docs/configuration.md lists every key once, with its default. A model's settings name the one that holds otherwise.
func TestConfigDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Bidder")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.<>]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(section, -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s stands twice", row[1])
		}
		documented[row[1]] = strings.Trim(row[2], "`")
	}
	c := Defaults()
	c.Models = map[string]ModelSettings{"<model>": {}}
	data, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	keys := 0
	ownDefaults := map[string]string{"weight": "1", "max_runners": "all", "runners": "none", "nice": "0"}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for name, value := range tree {
			key := prefix + name
			if inner, ok := value.(map[string]any); ok {
				walk(key+".", inner)
				continue
			}
			keys++
			want, have := fmt.Sprint(value), documented[key]
			if d, err := time.ParseDuration(have); err == nil && value != nil {
				have = d.String()
			}
			switch {
			case want == "":
				want = "none"
			case value == nil:
				want = ownDefaults[name]
				if want == "" {
					want = "batcher." + name
				}
			}
			if have != want {
				t.Errorf("%s: the default is %q, documented is %q", key, want, have)
			}
			delete(documented, key)
		}
	}
	walk("", tree)
	delete(documented, "models") // by name: the walk has met what is below it
	if keys < 30 || len(documented) > 0 {
		t.Errorf("%d keys; documented without being there: %v", keys, documented)
	}
}
