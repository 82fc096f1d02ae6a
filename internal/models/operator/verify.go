package operator

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/scoring"
)

// Verify loads the version in a directory as bidders would, and prints what it holds. If bidders would refuse the version,
// the error says why, and nothing is printed.
func Verify(ctx context.Context, loaders engine.Loaders, dir string, out io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("bidder: cannot find the version: %w", err)
	}
	model, number, err := nameOf(dir)
	if err != nil {
		return err
	}
	began := time.Now()
	v, err := models.Load(ctx, loaders, dir, model, number, models.LoadOptions{})
	if err != nil {
		return err
	}
	took := time.Since(began)
	defer v.Release()
	m := v.Manifest()
	encoder, err := scoring.EncoderOf(v)
	if err != nil {
		return err
	}
	report := fmt.Sprintf("%s: sound\n", v)
	line := func(format string, args ...any) { report += fmt.Sprintf("  "+format+"\n", args...) }
	line("predicts    %s", m.Label)
	line("created     %s", m.Created.UTC().Format(time.RFC3339))
	line("learnt from %d rows", m.Training.Rows)
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
	line("golden rows as Python computed them, to %g", v.Tolerance())
	line("loaded in   %d ms, warm up included", took.Milliseconds())
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		if value, ok := m.Metric(name); ok {
			line("%-11s %g", name, value)
		}
	}
	_, err = io.WriteString(out, report)
	return err
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
