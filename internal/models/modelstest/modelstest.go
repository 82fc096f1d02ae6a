// Package modelstest helps to test stores of models and what follows them: sound versions, an engine that scores them, a
// store in memory, and the suite that every store passes.
package modelstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/models"
)

// What the versions of this package are.
const (
	RowLen    = 4
	TableRows = 100
	golden    = 16
)

// Contents are the files of a version, but its manifest. Other bias, other probabilities (Probability).
func Contents(bias float32) map[string]string {
	var x, p bytes.Buffer
	for i := range golden {
		row := make([]int32, RowLen)
		for j := range row {
			row[j] = int32((i*7 + j) % TableRows)
		}
		_ = binary.Write(&x, binary.LittleEndian, row)
		_ = binary.Write(&p, binary.LittleEndian, Probability(bias, row))
	}
	data, err := msgpack.Marshal(&struct { // not a map, whose order is another each time
		N int    `msgpack:"n"`
		F int    `msgpack:"f"`
		X []byte `msgpack:"x"`
		P []byte `msgpack:"p"`
	}{golden, RowLen, x.Bytes(), p.Bytes()})
	if err != nil {
		panic(err) // unreachable: plain values
	}
	weights := binary.LittleEndian.AppendUint32(nil, math.Float32bits(bias))
	return map[string]string{
		"saved_model.pb": "graph", "variables/variables.data": string(weights), models.RecipeFile: "model: any\n", models.GoldenFile: string(data),
	}
}

// Document is the manifest of a version with these files, as JSON would hold it: of schema 1, whose readers must stay.
func Document(model string, version int64, contents map[string]string) map[string]any {
	files := map[string]any{}
	for name, text := range contents {
		sum := sha256.Sum256([]byte(text))
		files[name] = hex.EncodeToString(sum[:])
	}
	return map[string]any{
		"schema": 1, "model": model, "version": version, "label": "click", "created": "2026-01-02T03:04:05.678Z",
		"row_len": RowLen, "table_rows": TableRows, "files": files,
		"signature": map[string]any{"name": "serving_default", "input": "rows", "output": "probability",
			"input_tensor": "in:0", "output_tensor": "out:0"},
		"training": map[string]any{"rows": 10, "from_ms": 1, "to_ms": 2, "position": map[string]any{"sequence": 5}},
		"metrics":  map[string]any{"auc": 0.7, "log_loss": 0.25, "calibration": 1.01, "normalized_entropy": nil},
	}
}

// SetFormats makes a manifest one of today's schema, of a version that has these formats.
func SetFormats(document map[string]any, formats ...string) {
	delete(document, "format")
	document["schema"], document["formats"] = models.ManifestSchema, formats
}

// AddFormat gives the version in dir OtherFormat too, with the weights of bias. formats are then all that it has.
func AddFormat(t testing.TB, dir string, bias float32, formats ...string) {
	t.Helper()
	name := OtherFormat + "/variables/variables.data"
	contents := map[string]string{name: Contents(bias)["variables/variables.data"]}
	WriteFile(t, filepath.Join(dir, filepath.FromSlash(name)), contents[name])
	EditManifest(t, dir, func(m map[string]any) {
		maps.Copy(m["files"].(map[string]any), Document("", 1, contents)["files"].(map[string]any))
		SetFormats(m, formats...)
	})
}

// WriteVersion writes a sound version into dir, which Engine's loader opens.
func WriteVersion(t testing.TB, dir, model string, version int64, bias float32) {
	t.Helper()
	contents := Contents(bias)
	data, err := json.Marshal(Document(model, version, contents))
	if err != nil {
		t.Fatal(err)
	}
	contents[models.ManifestFile] = string(data)
	for name, text := range contents {
		WriteFile(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
}

// WriteFile writes a file, and makes its directory.
func WriteFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Stage writes a sound version into a fresh directory of the store's staging.
func Stage(t testing.TB, s models.Store, model string, version int64, bias float32) (staged string) {
	t.Helper()
	staging, err := s.Staging(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	if staged, err = os.MkdirTemp(staging, "test-"); err != nil {
		t.Fatal(err)
	}
	WriteVersion(t, staged, model, version, bias)
	return staged
}

// Place puts a sound version into the store, without pointing at it.
func Place(t testing.TB, s models.Store, model string, version int64, bias float32) {
	t.Helper()
	if err := models.Place(t.Context(), s, model, version, Stage(t, s, model, version, bias)); err != nil {
		t.Fatal(err)
	}
}

// Publish is Place, and makes it the stable version unless the pointer is pinned.
func Publish(t testing.TB, s models.Store, model string, version int64, bias float32) {
	t.Helper()
	if _, err := models.Publish(t.Context(), s, model, version, Stage(t, s, model, version, bias)); err != nil {
		t.Fatal(err)
	}
}

// PublishCopy publishes a copy of the version in directory from, as that version of that model. The original is not
// changed.
func PublishCopy(t testing.TB, s models.Store, from, model string, version int64) {
	t.Helper()
	staging, err := s.Staging(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	staged := filepath.Join(staging, fmt.Sprint("copy-", version))
	if err := os.CopyFS(staged, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	EditManifest(t, staged, func(m map[string]any) { m["model"], m["version"] = model, version })
	if _, err := models.Publish(t.Context(), s, model, version, staged); err != nil {
		t.Fatal(err)
	}
}

// EditManifest writes the manifest of the version in dir anew, after edit.
func EditManifest(t testing.TB, dir string, edit func(m map[string]any)) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(models.ManifestFile))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	if data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	WriteFile(t, name, string(data))
}
