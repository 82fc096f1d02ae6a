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
)

func TestConfigFaultsAreAllReported(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadConfig(path)
		if err == nil {
			t.Errorf("%s: no fault", text)
			return
		}
		if n := strings.Count(err.Error(), "\n") + 1; n != len(want) {
			t.Errorf("%s: %d faults, want %d:\n%v", text, n, len(want), err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), "r.yaml: "+w) {
				t.Errorf("%s: no %q in\n%v", text, w, err)
			}
		}
	}
	f("rank: {limits: 5}\nlimits: {read_timeout: 5}\n", "line 1: field limits not found", "line 2: cannot unmarshal !!int `5` into time.Duration")
	f("listen: 8095\nadmin_listen: x\nevents: {embedded_listen: ':nats'}\n", `listen: "8095" is not host:port`, "admin_listen: ", "events.embedded_listen: ")
	f("events: {url: 'x:1'}\n", "events.url: ")
	f("name: ''\nstate_dir: ''\ncampaigns: ''\nmodels: {sale: {scorer: bank}}\nevents: {token_file: '', embedded_dir: ''}\n",
		"name: ", "state_dir: ", "campaigns: ", "models.sale.directory: ", "events.token_file: ", "events.embedded_dir: ")
	f("profile: {fields: {Hour: [], hour: []}, country_header: 'a b'}\n", "profile.fields.Hour: must be", "profile.fields.hour: is a name", "profile.country_header: ")
	f("rank: {deadline: 11s, limit: 0, max_limit: 0, by: cost, policy: uniform}\n", "rank.deadline: 11s must be", "rank.limit: ", "rank.max_limit: ",
		`rank.by: "cost"`, `rank.policy: "uniform" is none of`)
	f("click: {by: '', policy: x}\n", `click.by: ""`, `click.policy: "x"`)
	f("explore: {epsilon: 1.5, prior_variance: 0}\n", "explore.epsilon: 1.5", "explore.prior_variance: 0")
	f("sale: {ttl: 0s}\nlimits: {body_bytes: 0, connections: -1}\n", "sale.ttl: ", "limits.body_bytes: ", "limits.connections: ")
	f("models: {A: {scorer: forest, directory: x, memory: 9, trusted: true}}\n", "models.A: the name", `models.A.scorer: "forest" is none of`, "models.A.memory: 9 must be",
		"models.A.trusted: only workers")
	f("models: {a: {scorer: workers, directory: x, memory: 2000000}}\nworkers: {count: -1, preparers: 0, memory: 0, queue_tasks: 0, batch_time: 0s}\n", "models.a.memory: workers share", "workers.count: ",
		"workers.preparers: ", "workers.memory: ", "workers.queue_tasks: ", "workers.batch_time: ")
	f("log: {level: loud, format: xml}\n", `log.level: "loud"`, `log.format: "xml"`)
}

// configs/ranker.yaml writes out the defaults.
func TestShippedConfig(t *testing.T) {
	got, err := loadConfig("../../configs/ranker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Models = defaultModels()
	want.Profile.Fields = map[string][]string{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("configs/ranker.yaml has other values than the defaults:\n%+v\n%+v", got, want)
	}
}

// docs/configuration.md lists every key once, with its default.
func TestConfigIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Ranker")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| ([^|]*) \\|").FindAllStringSubmatch(section, -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s is listed twice", row[1])
		}
		documented[row[1]] = strings.Trim(row[2], "`")
	}
	data, err := yaml.Marshal(defaults())
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for name, value := range tree {
			key := prefix + name
			if inner, ok := value.(map[string]any); ok && key != "profile.fields" {
				walk(key+".", inner)
				continue
			}
			keys++
			want, have := fmt.Sprint(value), documented[key]
			if d, err := time.ParseDuration(have); err == nil && have != want {
				have = d.String()
			}
			if want == "" || want == "map[]" {
				want = "none"
			}
			if have != want {
				t.Errorf("%s: the default is %q, documented is %q", key, want, have)
			}
			delete(documented, key)
		}
	}
	walk("", tree)
	delete(documented, "models") // the keys below it are by name
	if keys < 30 || len(documented) > 0 {
		t.Errorf("%d keys; documented, but no keys: %v", keys, documented)
	}
}
