package models

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gavel/internal/engine"
)

// ManifestSchema is the schema of manifest.json that is written today. This code also reads schema 1, which has one `format`, or
// none for DefaultFormat, in place of `formats`.
const ManifestSchema = 2

// The formats that this package knows.
const (
	// DefaultFormat is TensorFlow's SavedModel, at the version's root.
	DefaultFormat = "savedmodel"
	// PlanFormat is a plan, in the folder of that name.
	PlanFormat = "plan"
	// ONNXFormat is an ONNX model, in the folder of that name.
	ONNXFormat = "onnx"
	// WorkersFormat is an estimator of scikit-learn for Python workers, in the folder of that name.
	WorkersFormat = "workers"
)

// fileOf is the file that every version of a format has. The files of other formats are not checked.
var fileOf = map[string]string{DefaultFormat: savedModelFile, PlanFormat: PlanFile, ONNXFormat: onnxFile, WorkersFormat: estimatorFile}

// MaxManifestBytes bounds manifest.json; a real one is a few KB.
const MaxManifestBytes = 4 << 20

// Manifest is assets.extra/manifest.json: it describes a version and its files. All values of a Manifest from
// ParseManifest are valid.
type Manifest struct {
	Schema  int       `json:"schema"`
	Model   string    `json:"model"`
	Version int64     `json:"version"`
	Label   string    `json:"label"` // what is predicted: "click" or "conversion"
	Created time.Time `json:"created"`
	// RowLen and TableRows describe rows of indices, int32[RowLen], each in [0, TableRows), which the version's recipe encodes.
	// Both are 0 where rows are other columns; then there is no recipe.
	RowLen    int `json:"row_len"`
	TableRows int `json:"table_rows"`
	// Formats are the formats that the version has, at least one. Each is a form of the same model: the golden rows hold for all.
	// The first one serves where no other is chosen.
	Formats []string `json:"formats"`
	// Signature is that of the SavedModel; it may be empty where there is none.
	Signature engine.Signature `json:"signature"`
	// Files maps the slash-separated path of each file in the version to its sha256 in hex. The manifest itself is not in it.
	Files map[string]string `json:"files"`
	// Objects maps the sha256 of each object that the version's plan names to the size of its file in bytes, header included.
	// It is nil in the manifest of a version without a plan; one with a plan that lacks it keeps every object of the store.
	Objects  map[string]int64 `json:"objects,omitzero"`
	Training Training         `json:"training"`
	Metrics  map[string]any   `json:"metrics"` // as the trainer reports them; numbers are float64, null where undefined
}

// Training is what the version was learnt from.
type Training struct {
	Rows     int64           `json:"rows"`
	FromMs   int64           `json:"from_ms"`  // event time of the first example, Unix ms; 0 where unknown
	ToMs     int64           `json:"to_ms"`    // of the last
	Position json.RawMessage `json:"position"` // in the event stream, as the trainer's stream writes it; null if none
}

// Metric returns a metric of the manifest; false if it is missing or not a number.
func (m *Manifest) Metric(name string) (float64, bool) {
	v, ok := m.Metrics[name].(float64)
	return v, ok
}

// ReadManifest reads and checks the manifest of the version at dir. If there is none, the error wraps fs.ErrNotExist;
// otherwise it joins every fault.
func ReadManifest(dir string) (*Manifest, error) {
	name := filepath.Join(dir, filepath.FromSlash(ManifestFile))
	f, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, noManifest(dir)
		}
		return nil, fmt.Errorf("models: cannot read the manifest: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxManifestBytes+1))
	if err != nil {
		return nil, fmt.Errorf("models: cannot read %s: %w", name, err)
	}
	if len(data) > MaxManifestBytes {
		return nil, fmt.Errorf("models: %s is larger than %d bytes", name, MaxManifestBytes)
	}
	return ParseManifest(name, data)
}

// noManifest is the error for a directory without a manifest. It says what a version needs.
func noManifest(dir string) error {
	what := "it is no version yet"
	if _, err := os.Stat(filepath.Join(dir, savedModelFile)); err == nil {
		what = "a SavedModel alone is no version"
	}
	return fmt.Errorf("models: %s has no %s; %s. A version also needs its manifest with the sha256 of every file, %s, from which rows are encoded, "+
		"and %s, rows with the probabilities that they must give: python -m pytrain writes all of it (init, fit-file, port-sklearn). "+
		"If it is still being copied, it is tried again when its files change: %w", dir, ManifestFile, what, RecipeFile, GoldenFile, fs.ErrNotExist)
}

// ParseManifest decodes a manifest strictly: unknown, missing and repeated keys and values out of range are faults. The
// error joins every fault, each as "name: key: fault".
func ParseManifest(name string, data []byte) (*Manifest, error) {
	m := &Manifest{}
	d := &objectReader{name: name}
	whole := readObject("", data)
	head := headOf(whole)
	d.schema = head.Schema
	need := func(field any) any { // that a version without a SavedModel need not have
		if slices.Contains(head.Formats, DefaultFormat) {
			return field
		}
		return optional{field}
	}
	fields := map[string]any{
		"schema": &m.Schema, "model": &m.Model, "version": &m.Version, "label": &m.Label, "created": &m.Created,
		"row_len": need(&m.RowLen), "table_rows": need(&m.TableRows), "files": &m.Files, "metrics": &m.Metrics,
		"objects": optional{&m.Objects},
		"signature": need(map[string]any{
			"name": &m.Signature.Name, "input": &m.Signature.Input, "output": &m.Signature.Output,
			"input_tensor": &m.Signature.InputTensor, "output_tensor": &m.Signature.OutputTensor,
		}),
		"training": map[string]any{
			"rows": &m.Training.Rows, "from_ms": &m.Training.FromMs, "to_ms": &m.Training.ToMs,
			"position": &m.Training.Position,
		},
	}
	format := DefaultFormat
	if head.Schema == 1 {
		fields["format"] = optional{&format}
	} else {
		fields["formats"] = &m.Formats
	}
	d.fill(whole, fields)
	if head.Schema == 1 {
		m.Formats = []string{format}
	}
	if len(d.faults) == 0 {
		m.check(d)
	}
	if len(d.faults) > 0 {
		return nil, errors.Join(d.faults...)
	}
	return m, nil
}

// manifestHead decides which other keys there must be.
type manifestHead struct {
	Schema  int
	Formats []string
}

// headOf reads what it can. ParseManifest reports what is wrong with the values when it reads all of them.
func headOf(o *object) manifestHead {
	h, format := manifestHead{Schema: ManifestSchema}, DefaultFormat
	fields := map[string]any{"schema": &h.Schema, "format": &format, "formats": &h.Formats}
	for _, p := range o.pairs {
		if field, ok := fields[p.key]; ok {
			_ = json.Unmarshal(p.value, field)
		}
	}
	if h.Schema == 1 {
		h.Formats = []string{format}
	}
	return h
}

// Indexed says whether rows are indices that the version's recipe encodes.
func (m *Manifest) Indexed() bool { return m.RowLen > 0 }

// Has says whether the version has the format.
func (m *Manifest) Has(format string) bool { return slices.Contains(m.Formats, format) }

// folder is where a format's files are, within the version.
func folder(format string) string {
	if format == DefaultFormat {
		return "."
	}
	return format
}

// check reports every value that has the right type but is out of range.
func (m *Manifest) check(d *objectReader) {
	if m.Schema != 1 && m.Schema != ManifestSchema {
		d.fault("schema", "is %d, this program reads 1 and %d; upgrade whichever is older", m.Schema, ManifestSchema)
	}
	if err := CheckModel(m.Model); err != nil {
		d.fault("model", "%v", err)
	}
	if m.Version <= 0 {
		d.fault("version", "is %d, must be positive", m.Version)
	}
	if m.Label == "" {
		d.fault("label", "is empty")
	}
	if m.Created.IsZero() {
		d.fault("created", "is the zero time")
	}
	if indices := m.Has(DefaultFormat) || m.RowLen != 0 || m.TableRows != 0; indices {
		if m.RowLen <= 0 || m.RowLen > 1<<16 {
			d.fault("row_len", "is %d, must be in [1, %d]", m.RowLen, 1<<16)
		}
		if m.TableRows <= 1 || m.TableRows > math.MaxInt32 {
			d.fault("table_rows", "is %d, must be in [2, %d]", m.TableRows, math.MaxInt32)
		}
	}
	m.checkFormats(d)
	if m.Training.Rows < 0 {
		d.fault("training.rows", "is negative")
	}
	if m.Training.FromMs > m.Training.ToMs {
		d.fault("training.from_ms", "is after training.to_ms")
	}
	m.checkFiles(d)
}

// formatName also makes a format's name fit to be a folder.
var formatName = regexp.MustCompile(`^[a-z]{1,30}$`)

func (m *Manifest) checkFormats(d *objectReader) {
	key := "formats"
	if m.Schema == 1 {
		key = "format"
	}
	if len(m.Formats) == 0 {
		d.fault(key, "is empty; a version has at least one, such as %q", DefaultFormat)
	}
	for i, format := range m.Formats {
		if !formatName.MatchString(format) {
			d.fault(key, "has %q; a format is named by lower-case letters", format)
		}
		if slices.Contains(m.Formats[:i], format) {
			d.fault(key, "has %q twice", format)
		}
	}
	if m.Has(DefaultFormat) {
		m.checkSignature(d)
	}
}

func (m *Manifest) checkSignature(d *objectReader) {
	for _, s := range []struct{ key, value string }{
		{"name", m.Signature.Name}, {"input", m.Signature.Input}, {"output", m.Signature.Output},
		{"input_tensor", m.Signature.InputTensor}, {"output_tensor", m.Signature.OutputTensor},
	} {
		if s.value == "" {
			d.fault("signature."+s.key, "is empty")
		}
	}
}

func (m *Manifest) checkFiles(d *objectReader) {
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		key := fmt.Sprintf("files[%q]", name)
		if path.Clean(name) != name || path.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "../") ||
			strings.ContainsAny(name, "\\\x00") {
			d.fault(key, "is not a clean path within the version")
		}
		if name == ManifestFile {
			d.fault(key, "is the manifest itself, which cannot hold its own sum")
		}
		if sum := m.Files[name]; !isSum(sum) {
			d.fault(key, "%q is not a sha256 in lower-case hex", sum)
		}
	}
	for _, sum := range slices.Sorted(maps.Keys(m.Objects)) {
		if !isSum(sum) {
			d.fault("objects", "%q is not a sha256 in lower-case hex", sum)
		}
		if size := m.Objects[sum]; size < leastObject || size > mostObject {
			d.fault("objects", "%s has %d bytes, must have %d to %d", sum, size, leastObject, mostObject)
		}
	}
	needed := []string{GoldenFile}
	if m.Indexed() {
		needed = append(needed, RecipeFile)
	}
	for _, format := range m.Formats {
		if name, known := fileOf[format]; known {
			needed = append(needed, name)
		}
	}
	for _, name := range needed {
		if _, ok := m.Files[name]; !ok {
			d.fault("files", "lacks %q, which every such version has", name)
		}
	}
}

// The bytes of an object's file: its header alone, and the limit of docs/plan-format.md.
const leastObject, mostObject = 64, 1 << 31

// isSum says whether a text is a sha256 in lower-case hex, which is also how objects are named.
func isSum(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == 64 && strings.ToLower(text) == text
}
