package classifiers_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/score"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const goldenDir = "../../../tests/golden/classifiers"

// described is an entry of classifiers.json: a file's contents, with the logit of each golden profile without the prior.
type described struct {
	File        string             `json:"file"`
	Kind        string             `json:"kind"`
	Campaign    string             `json:"campaign"`
	Version     uint64             `json:"version"`
	Prior       uint64             `json:"prior"`
	Trainer     string             `json:"trainer"`
	Data        string             `json:"data"` // hex
	TrainedMs   int64              `json:"trained_ms"`
	Rows        int64              `json:"rows"`
	Positives   int64              `json:"positives"`
	Intercept   float64            `json:"intercept"`
	Variance    float64            `json:"variance"`
	Features    []describedFeature `json:"features"`
	Fields      []string           `json:"fields"`
	Profiles    [][]string         `json:"profiles"`
	Own         []float64          `json:"own_logits"` // of the profiles, without the prior
	Probability []float64          `json:"probabilities"`
}

type describedFeature struct {
	Name    string    `json:"name"`
	Of      []string  `json:"of"`
	Values  []string  `json:"values"`
	Weights []float64 `json:"weights"`
	Other   float64   `json:"other"`
}

func describe(f *classifiers.File) described {
	d := described{File: f.Name(), Kind: string(f.Kind), Campaign: f.Campaign, Version: f.Version, Prior: f.Prior, Trainer: f.Trainer,
		Data: hex.EncodeToString(f.Data[:]), TrainedMs: f.TrainedMs, Rows: f.Rows, Positives: f.Positives, Intercept: f.Intercept,
		Variance: f.Variance, Fields: f.Golden.Fields, Profiles: f.Golden.Profiles, Probability: f.Golden.Probabilities}
	for _, feature := range f.Features {
		d.Features = append(d.Features, describedFeature(feature))
	}
	for i := range f.Golden.Profiles {
		d.Own = append(d.Own, f.Logit(f.Golden.Profile(i)))
	}
	return d
}

// examples are the files of the golden directory. They show every part of the format: lists and texts of every msgpack form,
// features without values, crosses, texts beyond ASCII, a profile that lacks fields, weights that are no round numbers.
func examples() []*classifiers.File {
	feature := func(name string, of []string, other float64, values ...any) classifiers.Feature {
		f := classifiers.Feature{Name: name, Of: of, Values: []string{}, Weights: []float64{}, Other: other}
		for i := 0; i < len(values); i += 2 {
			f.Values, f.Weights = append(f.Values, values[i].(string)), append(f.Weights, values[i+1].(float64))
		}
		return f
	}
	golden := func(fields []string, profiles ...[]string) classifiers.Golden {
		return classifiers.Golden{Fields: fields, Profiles: append([][]string{}, profiles...)}
	}
	prior := &classifiers.File{Kind: classifiers.Prior, Version: 1_700_000_000_000, Trainer: "prior", TrainedMs: 1_700_000_000_000,
		Rows: 5_000_000_000, Positives: 70_000, Intercept: -9.25, Features: []classifiers.Feature{
			feature("country", []string{"country"}, -0.1, "", -0.3, "DE", 0.7, "PT", 1.0/3),
			feature("hour", []string{"hour"}, 0.0, "0", 0.01, "1", 0.02, "10", -0.03, "23", 0.04),
			feature("country × browser", []string{"country", "browser"}, 0.05, "\x1fChrome", -0.5, "DE\x1f", 0.25, "DE\x1fChrome", 0.125),
		}, Golden: golden([]string{"browser", "country", "hour"}, []string{"Chrome", "DE", "10"}, []string{"", "DE", ""},
			[]string{"Chrome", "", "1"}, []string{"Opera", "BR", "99"})}
	for i := range prior.Data {
		prior.Data[i] = byte(255 - i)
	}

	plain := &classifiers.File{Kind: classifiers.Classifier, Campaign: "shoes-7", Version: 1, Trainer: "scikit-learn 1.8.0", Rows: 300,
		Positives: 3, Intercept: -4.605170185988091, Variance: 0.3333333333333333, Features: []classifiers.Feature{
			feature("device", []string{"device"}, 0.0625, "", -1.5, "Pixel 9", 0.1, "iPhone", 2.0, "Ünïcode", 3.0, "日本語", -1e-300),
			feature("nothing known", []string{"provider"}, -0.75),
			feature("four", []string{"a", "b", "c", "d"}, 1e6, "1\x1f2\x1f3\x1f4", -1e6, "\U0001F600\x1f\x1f\x1f", 5e-324),
		}, Golden: golden([]string{"device", "a", "b", "c", "d"}, []string{"日本語", "1", "2", "3", "4"}, []string{"", "\U0001F600", "", "", ""},
			[]string{"iPhone", "1", "2", "3", "4"}, []string{"unseen", "", "", "", ""})}

	delta := &classifiers.File{Kind: classifiers.Classifier, Campaign: "Grüße / 50 %.", Version: 1_700_000_000_001, Prior: prior.Version,
		Trainer: "prior", TrainedMs: 1_700_000_000_001, Rows: 100_000, Positives: 1, Intercept: 0.0078125, Variance: 4, Features: []classifiers.Feature{
			feature("country", []string{"country"}, 0, "DE", -0.2),
			feature("browser × country", []string{"browser", "country"}, 0.001, "Chrome\x1fDE", 0.3),
		}, Golden: golden([]string{"country", "hour", "browser"}, []string{"DE", "10", "Chrome"}, []string{"", "", ""}, []string{"PT", "0", "Opera"})}

	// Lists and texts that need each longer form of msgpack, and a name that is cut.
	long := &classifiers.File{Kind: classifiers.Classifier, Campaign: strings.Repeat("long name ", 25), Version: math.MaxInt64, Trainer: strings.Repeat("t", 200),
		TrainedMs: 200, Rows: 70_000, Positives: 40_000, Intercept: 0.5, Golden: golden(nil)}
	long.Golden.Fields, long.Golden.Probabilities = []string{}, []float64{}
	many := feature("many", []string{"many"}, -1)
	for i := range 700 {
		many.Values, many.Weights = append(many.Values, string([]byte{'a' + byte(i/676), 'a' + byte(i/26%26), 'a' + byte(i%26)})), append(many.Weights, float64(i)/7)
	}
	long.Features = []classifiers.Feature{many, feature("text", []string{"text"}, 0, strings.Repeat("w", 300), 1.0, strings.Repeat("x", 40), 2.0, strings.Repeat("y", 70_000), 3.0)}
	for i := range 20 {
		long.Features = append(long.Features, feature(strings.Repeat("n", i+20), []string{strings.Repeat("f", i+20)}, float64(i)/3))
	}

	all := []*classifiers.File{prior, plain, delta, long}
	for _, f := range all {
		f.Golden.Probabilities = []float64{}
		for i := range f.Golden.Profiles {
			p := f.Golden.Profile(i)
			logit := f.Logit(p)
			if f.Prior == prior.Version {
				logit += prior.Logit(p)
			}
			f.Golden.Probabilities = append(f.Golden.Probabilities, classifiers.Probability(logit))
		}
	}
	return all
}

// TestGolden is that this room writes the golden files byte by byte, and reads them as classifiers.json tells. pytrain's test
// does the same.
func TestGolden(t *testing.T) {
	var want []described
	for _, f := range examples() {
		want = append(want, describe(f))
		data, err := classifiers.Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(goldenDir, f.Name())
		if *update {
			if err := errors.Join(os.MkdirAll(goldenDir, 0o755), os.WriteFile(path, data, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, golden) {
			t.Errorf("%s is not what is written now", path)
		}
		read, err := classifiers.Decode(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(read, f) {
			t.Errorf("%s is not read as it was written", path)
		}
	}
	index := filepath.Join(goldenDir, "classifiers.json")
	if *update {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", " ")
		if err := errors.Join(enc.Encode(want), os.WriteFile(index, text.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	var told []described
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("%s is not what the files hold", index)
	}
}

// fault is an entry of faults.json: a body of msgpack that no reader may accept, or a change to the bytes of a whole file.
type fault struct {
	Name string `json:"name"`
	Is   string `json:"is"`   // damaged, layout or contents
	Says string `json:"says"` // part of what this room reports; pytrain may use other words
	Hex  string `json:"hex"`  // the whole file
}

// TestFaults is that every file of faults.json is refused for its reason.
func TestFaults(t *testing.T) {
	path := filepath.Join(goldenDir, "faults.json")
	if *update {
		text, err := json.MarshalIndent(faults(t), "", " ")
		if err := errors.Join(err, os.WriteFile(path, append(text, '\n'), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []fault
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 40 {
		t.Errorf("%d faults only", len(all))
	}
	is := map[string]error{"damaged": classifiers.ErrDamaged, "layout": classifiers.ErrLayout, "contents": classifiers.ErrContents}
	for _, f := range all {
		data, err := hex.DecodeString(f.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := classifiers.Decode(data); !errors.Is(err, is[f.Is]) || !strings.Contains(err.Error(), f.Says) {
			t.Errorf("%s: %v, want %s: %q", f.Name, err, f.Is, f.Says)
		}
	}
}

func TestProfilesWithoutFields(t *testing.T) {
	plain := examples()[1]
	if got, want := plain.Logit(nil), plain.Intercept-1.5-0.75+1e6; math.Abs(got-want) > 1e-9 {
		t.Errorf("the empty profile has %v, want %v", got, want)
	}
	p := score.Profile{{Name: "d", Value: "4"}, {Name: "c", Value: "3"}, {Name: "b", Value: "2"}, {Name: "unknown", Value: "x"}, {Name: "a", Value: "1"}}
	if got, want := plain.Logit(p), plain.Intercept-1.5-0.75-1e6; math.Abs(got-want) > 1e-9 {
		t.Errorf("a cross of fields in another order has %v, want %v", got, want)
	}
}
