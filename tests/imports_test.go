// Package tests holds what spans rooms.
package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed is the table of rooms: which of our own packages each may import. The small shared rooms (iso, recipe,
// strictyaml) are listed where they are used. cmd/* may import anything. STANDARD marks rooms that may not import
// third-party packages either, ALL a room that may import every other one.
var allowed = map[string][]string{
	"internal/admission":            {},
	"internal/auction":              {"STANDARD"},
	"internal/batcher":              {"STANDARD", "internal/engine", "internal/throttle", "internal/host"},
	"internal/engine":               {"STANDARD"},
	"internal/engine/enginetest":    {"STANDARD", "internal/engine"},
	"internal/engine/tensorflow":    {"internal/engine"},
	"internal/engine/onnx":          {"internal/engine"},
	"internal/engine/plan":          {"internal/engine", "internal/packed"},
	"internal/engine/plan/plantest": {},
	"internal/engine/workers":       {"internal/admission", "internal/engine", "internal/process"},
	"internal/host":                 {},
	"internal/iso":                  {"STANDARD"},
	"internal/limit":                {"STANDARD"},
	"internal/race":                 {"STANDARD"},
	"internal/references":           {"STANDARD"},
	"internal/throttle":             {"STANDARD"},
	"internal/strictyaml":           {},
	"internal/columns":              {"internal/engine", "internal/packed"},
	"internal/console":              {"ALL"}, // reads every room; only commands import it
	"internal/console/rankings":     {"internal/console", "internal/rank/classifiers", "internal/rank/landings", "internal/rank/tally"},
	"internal/campaigns":            {"internal/auction", "internal/campaigns/watch", "internal/iso", "internal/strictyaml"},
	"internal/campaigns/watch":      {"internal/strictyaml"},
	"internal/features":             {"internal/auction", "internal/iso"},
	"internal/files":                {"STANDARD"},
	"internal/leases":               {"internal/auction", "internal/metric", "internal/stream"},
	"internal/httpd":                {},
	"internal/openrtb":              {"internal/auction", "internal/httpd", "internal/iso", "internal/metric", "internal/privacy", "internal/sellers", "internal/throttle"},
	"internal/privacy":              {"internal/auction", "internal/metric"},
	"internal/privacy/privacytest":  {"internal/auction", "internal/privacy"},
	"internal/sellers":              {"STANDARD", "internal/auction", "internal/files"},
	"internal/predict":              {"internal/auction", "internal/engine", "internal/httpd", "internal/metric", "internal/scoring", "internal/throttle"},
	"internal/scoring": {"internal/auction", "internal/batcher", "internal/engine", "internal/features", "internal/models",
		"internal/recipe", "internal/throttle"},
	"internal/models":            {"internal/columns", "internal/engine", "internal/host", "internal/packed", "internal/references"},
	"internal/models/dir":        {"internal/models"},
	"internal/models/modelstest": {"internal/engine", "internal/models"},
	"internal/models/operator": {"internal/columns", "internal/engine", "internal/features", "internal/models", "internal/models/dir",
		"internal/scoring"},
	"internal/metric":           {},
	"internal/packed":           {"STANDARD"},
	"internal/process":          {},
	"internal/rank/bank":        {"internal/admission", "internal/metric", "internal/rank/classifiers", "internal/rank/score", "internal/references", "internal/throttle"},
	"internal/dirwatch":         {"internal/throttle"},
	"internal/rank/classifiers": {"internal/dirwatch", "internal/files", "internal/metric", "internal/packed", "internal/rank/score", "internal/throttle"},
	"internal/rank/ranktest":    {"STANDARD", "internal/rank/classifiers", "internal/rank/score"},
	"internal/rank/score":       {"STANDARD"},
	"internal/rank/tally":       {"internal/events", "internal/events/codec", "internal/files", "internal/stream", "internal/throttle"},
	"internal/recipe":           {"internal/features", "internal/strictyaml"},
	"internal/rank/plans":       {"internal/engine", "internal/engine/plan", "internal/metric", "internal/models", "internal/rank/classifiers", "internal/throttle"},
	"internal/rank/estimators/engines": {"internal/admission", "internal/engine", "internal/engine/workers", "internal/files", "internal/metric", "internal/rank/estimators",
		"internal/references", "internal/throttle"},
	"internal/rank/estimators": {"internal/dirwatch", "internal/engine/workers", "internal/files", "internal/metric", "internal/rank/score", "internal/throttle"},
	// The interface imports nothing; the suite and the in-memory form know it alone.
	"internal/stream":            {"STANDARD"},
	"internal/stream/memory":     {"STANDARD", "internal/stream"},
	"internal/stream/nats":       {"internal/files", "internal/stream"},
	"internal/stream/streamtest": {"STANDARD", "internal/stream"},
	"internal/explain":           {"internal/engine", "internal/engine/plan", "internal/models"},
	"internal/events":            {"internal/auction", "internal/privacy", "internal/stream"},
	"internal/events/bids":       {"STANDARD", "internal/auction", "internal/events", "internal/throttle"},
	"internal/events/codec":      {"STANDARD", "internal/auction", "internal/events", "internal/packed", "internal/stream"},
	"internal/events/erase":      {"internal/auction", "internal/events", "internal/events/codec", "internal/privacy", "internal/stream"},
	"internal/events/eventstest": {"STANDARD", "internal/auction", "internal/events"},
	"internal/events/join":       {"STANDARD", "internal/events", "internal/events/codec", "internal/stream"},
	"internal/events/outlet":     {"internal/events/publish", "internal/process", "internal/stream", "internal/stream/nats"},
	"internal/events/notices":    {"internal/auction", "internal/events", "internal/files", "internal/sellers", "internal/throttle"},
	"internal/events/publish":    {"internal/events", "internal/events/codec", "internal/files", "internal/metric", "internal/stream"},
	"internal/events/spend":      {"STANDARD", "internal/auction", "internal/events", "internal/events/codec", "internal/stream"},
	"internal/trainer": {"internal/auction", "internal/events", "internal/events/codec", "internal/events/join", "internal/features",
		"internal/models", "internal/process", "internal/recipe", "internal/stream"},
	// The exchange is the other side of the wire: it shares money, country codes, OpenRTB's rules and how to log, nothing else.
	"internal/exchange": {"internal/auction", "internal/exchange", "internal/iso", "internal/openrtb", "internal/throttle", "internal/strictyaml"},

	// The front door for rankings. Its scorers know nothing of HTTP, and it knows nothing of how they score.
	"internal/rank": {"internal/auction", "internal/privacy", "internal/events", "internal/events/notices", "internal/httpd", "internal/metric", "internal/rank/explore", "internal/rank/landings",
		"internal/rank/profile", "internal/rank/score", "internal/throttle"},
	"internal/datasets":      {"internal/files", "internal/throttle"},
	"internal/rank/consumer": {"internal/datasets", "internal/events", "internal/events/codec", "internal/stream", "internal/throttle"},
	"internal/rank/explore":  {"STANDARD"},
	"internal/rank/landings": {"internal/strictyaml"},
	"internal/rank/profile":  {"internal/features", "internal/iso", "internal/rank/score"},

	// What measures engines: programs that only bench/plans, bench/ranking and bench/workers start.
	"bench/plans/driver":   {"ALL"},
	"bench/ranking/driver": {"ALL"},
	"bench/workers/driver": {"ALL"},

	// Fixtures that several rooms' tests share.
	"internal/batcher/batchertest":              {"STANDARD", "internal/batcher"},
	"internal/engine/tensorflow/tensorflowtest": {"STANDARD"},
}

// alone names the one room that may import the packages of an outside module, tests included.
var alone = map[string]string{
	"github.com/nats-io/":       "internal/stream/nats",
	"github.com/maypok86/otter": "internal/admission",
}

// cgo are the rooms that may use it.
var cgo = []string{"internal/engine/onnx", "internal/engine/plan", "internal/engine/tensorflow", "internal/rank/bank"}

// forTests are rooms that only tests and benchmarks may import.
var forTests = []string{"internal/batcher/batchertest", "internal/engine/plan/plantest", "internal/engine/tensorflow/tensorflowtest",
	"internal/privacy/privacytest", "internal/rank/ranktest",
	"internal/stream/memory", "internal/stream/streamtest", "internal/events/eventstest"}

type listed struct {
	ImportPath   string
	CgoFiles     []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,CgoFiles,Imports,TestImports,XTestImports", "gavel/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// room is the longest part of a package path that the table names: "internal/engine/tensorflow" is a room of its own,
// below internal/engine. Where the table has none, it is the first two elements.
func room(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "gavel/"), "/")
	for n := len(parts); n > 2; n-- {
		if name := strings.Join(parts[:n], "/"); allowed[name] != nil {
			return name
		}
	}
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func TestRoom(t *testing.T) {
	for path, want := range map[string]string{
		"gavel/tests": "tests", "gavel/cmd/bidder": "cmd/bidder", "gavel/internal/engine": "internal/engine",
		"gavel/internal/engine/tensorflow": "internal/engine/tensorflow", "gavel/internal/exchange/world": "internal/exchange",
	} {
		if got := room(path); got != want {
			t.Errorf("%s is in room %s, want %s", path, got, want)
		}
	}
}

func TestImportRules(t *testing.T) {
	for _, p := range list(t) {
		from := room(p.ImportPath)
		if len(p.CgoFiles) > 0 && !slices.Contains(cgo, from) {
			t.Errorf("%s uses cgo; only %v may", p.ImportPath, cgo)
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for module, owner := range alone {
				if strings.HasPrefix(imported, module) && from != owner {
					t.Errorf("%s imports %s; only %s may", p.ImportPath, imported, owner)
				}
			}
		}
		for _, imported := range p.Imports {
			if r := room(imported); slices.Contains(forTests, r) && !slices.Contains(forTests, from) && !strings.HasPrefix(from, "bench/") {
				t.Errorf("%s imports %s, which is for tests", p.ImportPath, r)
			}
		}
		if strings.HasPrefix(from, "cmd/") || from == "tests" {
			continue
		}
		may, known := allowed[from]
		if !known {
			t.Errorf("%s is a room that the table does not know; add it here and to docs/", from)
			continue
		}
		for _, imported := range p.Imports {
			own := strings.HasPrefix(imported, "gavel/")
			third := !own && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
			switch {
			case own && room(imported) != from && !slices.Contains(may, "ALL") && !slices.Contains(may, room(imported)):
				t.Errorf("%s imports %s; the table allows it only %v", p.ImportPath, imported, may)
			case third && slices.Contains(may, "STANDARD"):
				t.Errorf("%s imports %s; it may import the standard library only", p.ImportPath, imported)
			}
		}
	}
}
