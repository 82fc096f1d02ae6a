package models_test

import (
	"encoding/json"
	"strings"
	"testing"

	"gavel/internal/models"
	"gavel/internal/models/modelstest"
)

func TestParseManifest(t *testing.T) {
	f := func(name string, edit func(m map[string]any), wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			doc := modelstest.Document("ctr", 7, modelstest.Contents(0))
			edit(doc)
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			m, err := models.ParseManifest("m.json", data)
			if len(wants) == 0 {
				if err != nil || m.Version != 7 || m.Files[models.GoldenFile] == "" || len(m.Formats) == 0 {
					t.Fatalf("%+v, %v", m, err)
				}
				return
			}
			wantError(t, err, wants...)
		})
	}
	in := func(m map[string]any, key string) map[string]any { return m[key].(map[string]any) }
	f("a sound one", func(map[string]any) {})
	f("a format", func(m map[string]any) { m["format"] = "savedmodel" })
	f("a plan, which needs neither indices nor a signature", func(m map[string]any) {
		m["format"] = "plan"
		for _, key := range []string{"row_len", "table_rows", "signature"} {
			delete(m, key)
		}
		m["files"] = map[string]any{"plan/plan.msgpack": strings.Repeat("a", 64), models.GoldenFile: strings.Repeat("b", 64)}
	})
	f("a plan with objects", func(m map[string]any) { m["objects"] = map[string]any{strings.Repeat("a", 64): 64} })
	f("objects that are none", func(m map[string]any) {
		m["objects"] = map[string]any{"../x": 100, strings.Repeat("A", 64): 100, strings.Repeat("b", 64): 63}
	}, `objects: "../x" is not a sha256`, `objects: "AAA`, "has 63 bytes, must have 64 to 2147483648")
	f("objects as a list", func(m map[string]any) { m["objects"] = []any{} }, "m.json: objects: cannot unmarshal array")
	f("a plan without its file, of rows by half", func(m map[string]any) { m["format"], m["table_rows"] = "plan", 0 },
		`files: lacks "plan/plan.msgpack"`, "m.json: table_rows: is 0")
	f("a SavedModel without a signature", func(m map[string]any) { delete(m, "signature") }, "m.json: signature: is missing")
	f("a format that is no folder", func(m map[string]any) { m["format"] = "../x" }, `m.json: format: has "../x"`)
	f("no format to speak of", func(m map[string]any) { m["format"] = "" }, `m.json: format: has ""`)
	sum := strings.Repeat("c", 64)
	f("several formats", func(m map[string]any) {
		modelstest.SetFormats(m, "savedmodel", "plan", "other")
		in(m, "files")["plan/plan.msgpack"] = sum
	})
	f("a plan beside no SavedModel", func(m map[string]any) {
		modelstest.SetFormats(m, "plan")
		delete(m, "signature")
		m["files"] = map[string]any{"plan/plan.msgpack": sum, models.GoldenFile: sum, models.RecipeFile: sum}
	})
	f("several formats, one without its files", func(m map[string]any) { modelstest.SetFormats(m, "plan", "savedmodel") },
		`files: lacks "plan/plan.msgpack"`)
	f("a SavedModel beside a plan, without a signature", func(m map[string]any) {
		modelstest.SetFormats(m, "plan", "savedmodel")
		delete(m, "signature")
	}, "m.json: signature: is missing")
	f("no formats", func(m map[string]any) { modelstest.SetFormats(m) }, "m.json: formats: is null")
	f("an empty list of formats", func(m map[string]any) { modelstest.SetFormats(m, []string{}...); m["formats"] = []string{} },
		`m.json: formats: is empty; a version has at least one, such as "savedmodel"`)
	f("a format twice, and one that is no folder", func(m map[string]any) { modelstest.SetFormats(m, "savedmodel", "savedmodel", "a/b") },
		`m.json: formats: has "savedmodel" twice`, `m.json: formats: has "a/b"; a format is named by lower-case letters`)
	f("formats in schema 1", func(m map[string]any) { m["formats"] = []string{"savedmodel"} }, "m.json: formats: is unknown; schema 1 has no such key")
	f("a format in schema 2", func(m map[string]any) {
		modelstest.SetFormats(m, "savedmodel")
		m["format"] = "savedmodel"
	}, "m.json: format: is unknown; schema 2 has no such key")
	f("formats that are no list", func(m map[string]any) { modelstest.SetFormats(m); m["formats"] = "plan" }, "m.json: formats: cannot unmarshal string")
	f("a format of null", func(m map[string]any) { m["format"] = nil }, "m.json: format: is null")
	f("a position of null", func(m map[string]any) { in(m, "training")["position"] = nil })
	f("every missing and unknown key", func(m map[string]any) {
		delete(m, "row_len")
		delete(in(m, "signature"), "output")
		m["rows"] = 8
		in(m, "training")["until"] = 3
	}, "m.json: row_len: is missing", "m.json: signature.output: is missing", "m.json: rows: is unknown", "m.json: training.until: is unknown")
	f("every wrong type", func(m map[string]any) {
		m["row_len"] = "8"
		m["version"] = 1.5
		m["created"] = "yesterday"
		m["label"] = nil
		m["signature"] = "serving_default"
	}, "m.json: row_len: cannot unmarshal string", "m.json: version: cannot unmarshal number 1.5", "m.json: created: ",
		"m.json: label: is null", "m.json: signature: is not a JSON object")
	f("every value out of range", func(m map[string]any) {
		m["schema"] = 3
		m["formats"] = []string{"savedmodel"}
		m["model"] = "../ctr"
		m["version"] = 0
		m["row_len"] = 0
		m["table_rows"] = 1 << 31
		in(m, "signature")["name"] = ""
		in(m, "training")["from_ms"] = 9
		in(m, "training")["rows"] = -1
	}, "schema: is 3, this program reads 1 and 2", `model: models: model name "../ctr" is not allowed`, "version: is 0, must be positive",
		"row_len: is 0", "table_rows: is 2147483648", "signature.name: is empty", "training.from_ms: is after", "training.rows: is negative")
	f("files that leave the version or have no sum", func(m map[string]any) {
		files := in(m, "files")
		sum := files["saved_model.pb"]
		delete(files, "saved_model.pb")
		files["../x"], files["/etc/passwd"], files["a//b"], files[models.ManifestFile] = sum, sum, sum, sum
		files["short"], files["upper"], files["odd"] = "abc", strings.Repeat("A", 64), strings.Repeat("x", 64)
	}, `files["../x"]: is not a clean path`, `files["/etc/passwd"]: is not a clean path`, `files["a//b"]: is not a clean path`,
		`files["assets.extra/manifest.json"]: is the manifest itself`, `files["short"]: "abc" is not a sha256`,
		`files["upper"]: `, `files["odd"]: `, `files: lacks "saved_model.pb"`)

	raw := func(name, text string, wants ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, err := models.ParseManifest("m.json", []byte(text))
			wantError(t, err, wants...)
		})
	}
	sound, err := json.Marshal(modelstest.Document("ctr", 7, modelstest.Contents(0)))
	if err != nil {
		t.Fatal(err)
	}
	raw("empty", "", "m.json: document: is not JSON: the file ends early")
	raw("not an object", "[]", "m.json: document: is not a JSON object")
	raw("cut off", string(sound[:len(sound)/2]), "the file ends early")
	raw("cut off at the end", string(sound[:len(sound)-1]), "m.json: document: is cut off at byte", "the file ends early")
	raw("more behind", string(sound)+"{}", "has text after its end")
	raw("twice", `{"schema": 1, "schema": 1}`, "m.json: schema: stands twice", "m.json: files: is missing")
	raw("NaN, as Python writes it", `{"metrics": {"auc": NaN}}`, "m.json: metrics: is not JSON near byte")
}

func FuzzParseManifest(f *testing.F) {
	sound, err := json.Marshal(modelstest.Document("ctr", 7, modelstest.Contents(0)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add([]byte(`{"signature":{"name":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := models.ParseManifest("m", data)
		if (m == nil) == (err == nil) {
			t.Errorf("%v, %v", m, err)
		}
		if m != nil && (m.RowLen < 0 || m.Version <= 0 || m.Files[models.GoldenFile] == "" || m.Indexed() && m.Files[models.RecipeFile] == "") {
			t.Errorf("an unsound manifest passed: %+v", m)
		}
	})
}

func wantError(t testing.TB, err error, wants ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one of %q", wants)
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}
