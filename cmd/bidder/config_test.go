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
	"gavel/internal/scoring"
	"gavel/internal/sellers"
)

// load reads a configuration file with this text.
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
	f("lines that do not parse", "batcher: {max_wiat: 2ms, runners: two}\nlimits: {read_timeout: 5}\n",
		"line 1: field max_wiat not found", "line 1: cannot unmarshal !!str `two` into int", "line 2: cannot unmarshal !!int `5` into time.Duration")
	f("empty settings", "name: ''\nstate_dir: ''\ncampaigns: ''\nmodel_store: ''\nauction: {click: '', seat: ''}\nevents: {token_file: '', embedded_dir: ''}\n",
		"name: ", "state_dir: ", "campaigns: ", "model_store: ", "auction.click: ", "auction.seat: ", "events.token_file: ", "events.embedded_dir: ")
	f("sellers", "sellers: {acme: {}, 'a b': {addresses: [10.0.0.0/8], billing: lurl}}\n",
		"sellers.acme: nothing says how it is known", "sellers.a b: the name", `sellers.a b.billing: "lurl"`)
	f("an unknown setting of a seller", "sellers: {acme: {adresses: []}}\n", "line 1: field adresses not found")
	f("addresses", "listen: 8090\nadmin_listen: localhost\nnotices: {listen: x}\npublic_url: bidder.example\nevents: {embedded_listen: ':nats'}\n",
		`listen: "8090"`, `admin_listen: "localhost"`, `notices.listen: "x"`, `public_url: "bidder.example"`, `events.embedded_listen: ":nats"`)
	f("the URL of a stream", "events: {url: 'stream:4222', embedded_listen: ''}\n", `events.url: "stream:4222"`)
	f("auction", "auction: {currency: usd, no_bid_status: 404, tmax_default: 2s, tmax_margin: 3s, first_price_bidders: 0.5, max_candidates: 129}\n",
		"auction.currency: ", "auction.no_bid_status: 404", "auction.tmax_default: 2s must be 10ms to 1s", "auction.tmax_margin: 3s",
		"auction.first_price_bidders: 0.5", "auction.max_candidates: 129 must be 1 to 128")
	f("batcher", "batcher: {policy: lazy, runners: 0, max_rows: 70000, max_wait: 2m, queue_rows: 5000000}\n",
		`batcher.policy: "lazy"`, "batcher.runners: 0", "batcher.max_rows: 70000", "batcher.max_wait: 2m0s",
		"batcher.queue_rows: 5000000")
	f("settings of a model", "models: {ctr: {max_rows: 512, weight: 0}}\nbatcher: {queue_rows: 256}\n",
		"models.ctr.queue_rows: 256 is less than max_rows (512)", "models.ctr.weight: 0")
	f("models that are not served", "models: {cvr: {}, '': {runners: 0}, 'A/b':}\nauction: {conversion: crv}\n", `auction.click: "ctr" is not among models: ["" "A/b" "cvr"]`,
		`auction.conversion: "crv" is not among models`, `models.: `, "models..runners: 0", `models.A/b: `)
	f("engines", "models: {ctr: {engine: gpu}, cvr: {engine: plan}, cvr2: {engine: savedmodel}, cvr3: {engine: ''}}\n",
		`models.ctr.engine: "gpu" is none of ["onnx" "plan" "savedmodel" "workers"]; leave it out`, `models.cvr3.engine: ""`)
	f("workers", "models: {ctr: {engine: workers}}\nworkers: {count: -1, memory: 0}\n", "workers.count: -1 must be", "workers.memory: must be above 0")
	f("an unknown setting of a model", "models: {ctr: {max_row: 5}}\n", "line 1: field max_row not found")
	f("TensorFlow", "tensorflow: {threading: gpu}\n", `tensorflow.threading: "gpu" is none of [caller default]`)
	f("limits", "limits: {body_bytes: 0, auctions: -1, connections: 0, read_timeout: 0s, write_timeout: -1s, idle_timeout: 0s}\n",
		"limits.body_bytes: ", "limits.auctions: ", "limits.connections: ", "limits.read_timeout: ", "limits.write_timeout: ", "limits.idle_timeout: ")
	f("values that are not numbers", "auction: {first_price_bidders: .inf}\nbudget: {lease_share: .nan}\n",
		"auction.first_price_bidders: +Inf", "budget.lease_share: NaN")
	f("money", "budget: {reservation: 0s, lease_share: 1.5}\n", "budget.reservation: ", "budget.lease_share: 1.5")
	f("events", "events: {max_bytes: 0, max_age: 0s, spill_max_bytes: 0}\n", "events.max_bytes: ", "events.max_age: ", "events.spill_max_bytes: ")
	f("a long name", "name: "+strings.Repeat("b", 65), "name: is 65 bytes long")
	f("log", "log: {level: loud, format: xml}\n", `log.level: "loud"`, `log.format: "xml"`)
}

func TestEmptyConfigHasTheDefaults(t *testing.T) {
	c, err := load(t, "")
	if err != nil || !reflect.DeepEqual(c, Defaults()) {
		t.Errorf("got %+v, %v", c, err)
	}
}

// configs/bidder.yaml writes out the defaults, and adds the model of conversions.
func TestShippedConfigHasTheDefaults(t *testing.T) {
	c, err := LoadConfig("../../configs/bidder.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Auction.Conversion = "cvr"
	want.Models = map[string]scoring.Settings{"ctr": {}, "cvr": {}}
	want.Sellers = map[string]sellers.Settings{"sim": {Addresses: []string{"127.0.0.1", "::1"}}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestBatchingOfAModel(t *testing.T) {
	c, err := load(t, "batcher: {max_rows: 64, runners: 3}\nmodels: {ctr: , cvr: {engine: plan, max_rows: 32, runners: 2, nice: 10}}\n")
	if err != nil {
		t.Fatal(err)
	}
	f := func(model string, wantRows int, wantPool *batcher.PoolOptions) {
		t.Helper()
		s := c.batching(model)
		if q := s.Queue(); q.MaxRows != wantRows || q.MaxWait != batcher.DefaultMaxWait || q.QueueRows != 4096 {
			t.Errorf("%s: queue %+v, want max_rows %d", model, q, wantRows)
		}
		if pool := s.Pool(); !reflect.DeepEqual(pool, wantPool) {
			t.Errorf("%s: pool %+v, want %+v", model, pool, wantPool)
		}
	}
	if got := c.formats(); !reflect.DeepEqual(got, map[string]string{"cvr": "plan"}) {
		t.Errorf("formats %v", got)
	}
	f("ctr", 64, nil)
	f("cvr", 32, &batcher.PoolOptions{Runners: 2, Nice: 10})
}

// docs/configuration.md lists every key once, with its default. The default of a model's setting may be another setting.
func TestConfigIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Bidder")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.<>]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(section, -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s is listed twice", row[1])
		}
		documented[row[1]] = strings.Trim(row[2], "`")
	}
	c := Defaults()
	c.Models = map[string]scoring.Settings{"<model>": {}}
	c.Sellers = map[string]sellers.Settings{"<name>": {}}
	data, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	keys := 0
	ownDefaults := map[string]string{"weight": "1", "max_runners": "all", "runners": "none", "nice": "0", "engine": "the version's first"}
	ofSellers := map[string]string{
		"billing": "burl", "notice_time": "3h", "fields.seat": "true", "fields.cid": "true", "fields.nbr": "auction.no_bid_status",
		"price.form": "plain", "price.currency": "auction.currency", "price.rate": "1", "macros.price": "${AUCTION_PRICE}",
		"macros.loss": "${AUCTION_LOSS}", "macros.quantity": "${AUCTION_MULTIPLIER}", "macros.markup": "{}", "auction_types": "{}",
	}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for name, value := range tree {
			key := prefix + name
			if inner, ok := value.(map[string]any); ok && len(inner) > 0 {
				walk(key+".", inner)
				continue
			}
			keys++
			want, have := fmt.Sprint(value), documented[key]
			if d, err := time.ParseDuration(have); err == nil && value != nil && have != want {
				have = d.String()
			}
			own, ofSeller := ofSellers[strings.TrimPrefix(key, "sellers.<name>.")]
			switch {
			case ofSeller && strings.HasPrefix(key, "sellers."):
				want, have = own, documented[key]
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
	delete(documented, "models") // the walk has met the keys below it
	delete(documented, "sellers")
	if keys < 30 || len(documented) > 0 {
		t.Errorf("%d keys; documented, but no keys: %v", keys, documented)
	}
}

// The example of each seller's page is sound, apart from the files that it names.
func TestExamplesOfSellers(t *testing.T) {
	pages, err := filepath.Glob("../../docs/sellers/*.md")
	if err != nil || len(pages) < 2 {
		t.Fatalf("pages %q, %v", pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
		if example == nil {
			t.Errorf("%s has no example", page)
			continue
		}
		if c, err := load(t, string(example[1])); err != nil || len(c.Sellers) != 1 {
			t.Errorf("%s: %d sellers, %v", page, len(c.Sellers), err)
		}
	}
}
