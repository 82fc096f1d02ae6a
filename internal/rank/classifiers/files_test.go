package classifiers_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gavel/internal/rank/classifiers"
)

func TestName(t *testing.T) {
	f := func(campaign, want string) {
		t.Helper()
		file := classifiers.File{Kind: classifiers.Classifier, Campaign: campaign}
		if got := file.Name(); got != want || !classifiers.IsName(got) {
			t.Errorf("campaign %q is in %s, want %s", campaign, got, want)
		}
	}
	f("shoes-7_B", "shoes-7_B.classifier")
	f(".hidden", "%2Ehidden.classifier")
	f("a/b é%", "a%2Fb%20%C3%A9%25.classifier")
	f(strings.Repeat("x", 119), strings.Repeat("x", 119)+".classifier")
	f(strings.Repeat("x", 120), strings.Repeat("x", 100)+"%13f05a0b594787f5.classifier")
	f(strings.Repeat("é", 40), strings.Repeat("%C3%A9", 17)[:100]+"%84fe2e03d50dd3a1.classifier")
	prior := classifiers.File{Kind: classifiers.Prior, Version: 17}
	if got := prior.Name(); got != "prior.17.classifier" {
		t.Errorf("a prior is in %s", got)
	}
	for _, name := range []string{".aside", "x.classifier.tmp", ".x.classifier", "README"} {
		if classifiers.IsName(name) {
			t.Errorf("%s is taken for a classifier", name)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	f := examples()[1]
	for _, f.Version = range []uint64{1, 2} {
		if err := classifiers.Write(dir, f); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := classifiers.Decode(data); err != nil || got.Version != f.Version {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for sub, want := range map[string]int{".": 2, ".aside": 0} { // the file and .aside
		if left, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(left) != want {
			t.Errorf("%s holds %v, %v", sub, left, err)
		}
	}
	f.Version = 0
	if err := classifiers.Write(dir, f); !errors.Is(err, classifiers.ErrContents) {
		t.Errorf("version 0 is written: %v", err)
	}
}

// Whatever the bytes, decoding ends; what is decoded is written and read as the same.
func FuzzDecode(f *testing.F) {
	for _, file := range examples()[:3] {
		data, err := classifiers.Encode(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[16 : len(data)-32])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := classifiers.Decode(envelope(body))
		if err != nil {
			if !errors.Is(err, classifiers.ErrContents) {
				t.Fatalf("a whole file: %v", err)
			}
			return
		}
		first, err := classifiers.Encode(file)
		if err != nil {
			t.Fatal(err)
		}
		again, err := classifiers.Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := classifiers.Encode(again); err != nil || !bytes.Equal(first, second) {
			t.Errorf("written again it differs: %v", err)
		}
	})
}
