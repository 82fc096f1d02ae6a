package operator

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gavel/internal/engine"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/scoring"
)

// Verify loads the version in a directory as bidders would, in each of its formats, and prints what it holds. If a bidder would
// refuse the version, the error says why, and nothing is printed. If the directory is a store, Verify is VerifyStore.
func Verify(ctx context.Context, loaders engine.Loaders, dir string, out io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("bidder: cannot find the version: %w", err)
	}
	if isStore(ctx, dir) {
		return VerifyStore(ctx, modelsdir.New(dir), out)
	}
	model, number, err := nameOf(dir)
	if err != nil {
		return err
	}
	report := ""
	line := func(format string, args ...any) { report += fmt.Sprintf("  "+format+"\n", args...) }
	var m *models.Manifest
	began := time.Now()
	err = models.LoadEach(ctx, loaders, dir, model, number, models.LoadOptions{}, func(v *models.Servable) error {
		took := time.Since(began)
		if m == nil {
			m = v.Manifest()
			report = fmt.Sprintf("%s: sound\n", v)
			if err := describe(v, line); err != nil {
				return err
			}
		}
		line("%-11s golden rows as Python computed them, to %g; loaded in %d ms, warm up included", v.Format(), v.Tolerance(), took.Milliseconds())
		began = time.Now()
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		if value, ok := m.Metric(name); ok {
			line("%-11s %g", name, value)
		}
	}
	_, err = io.WriteString(out, report)
	return err
}

// describe prints what all formats of a version have in common.
func describe(v *models.Servable, line func(format string, args ...any)) error {
	m := v.Manifest()
	line("predicts    %s", m.Label)
	line("created     %s", m.Created.UTC().Format(time.RFC3339))
	line("learnt from %d rows", m.Training.Rows)
	encoder, err := scoring.EncoderOf(v)
	if err != nil {
		return err
	}
	if encoder != nil {
		line("rows        %d indices below %d, from %d features", m.RowLen, m.TableRows, len(encoder.Columns()))
	} else {
		line("rows        %v", v.Engine().Schema().Inputs)
		line("outputs     %v", v.Engine().Schema().Outputs)
	}
	line("files       %d, each as its sha256 says", len(m.Files))
	if m.Signature.Name != "" {
		line("signature   %s: %s → %s", m.Signature.Name, m.Signature.Input, m.Signature.Output)
	}
	return nil
}

// isStore says whether a directory is a store that holds a model, and no version.
func isStore(ctx context.Context, dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(models.ManifestFile))); err == nil {
		return false
	}
	names, err := modelsdir.New(dir).Models(ctx)
	return err == nil && len(names) > 0
}

// nameOf returns the model and the version of a directory. If the directory's name is a version's number, its path
// <model>/<version> says both. Otherwise the directory is a copy, and its manifest says both.
func nameOf(dir string) (model string, version int64, err error) {
	if n, err := strconv.ParseInt(filepath.Base(dir), 10, 64); err == nil && n > 0 {
		return filepath.Base(filepath.Dir(dir)), n, nil
	}
	m, err := models.ReadManifest(dir)
	if err != nil {
		return "", 0, fmt.Errorf("bidder: %s is not a model version: %w", dir, err)
	}
	return m.Model, m.Version, nil
}
