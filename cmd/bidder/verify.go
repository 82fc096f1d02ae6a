package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"gavel/internal/engine/tensorflow"
	"gavel/internal/models"
	"gavel/internal/scoring"
)

// verify loads a version as serving would and prints what it holds; the error says why it would be refused.
func verify(ctx context.Context, dir string, stdout io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("bidder: cannot find the version: %w", err)
	}
	model, number, err := nameOf(dir)
	if err != nil {
		return err
	}
	began := time.Now()
	s, err := models.Load(ctx, loaders(tensorflow.CallerThread), dir, model, number, models.LoadOptions{})
	if err != nil {
		return err
	}
	took := time.Since(began)
	defer s.Release()
	encoder, err := scoring.EncoderOf(s)
	if err != nil {
		return err
	}
	m := s.Manifest()
	report := fmt.Sprintf("%s: sound\n  predicts    %s\n  created     %s\n  learnt from %d rows\n"+
		"  rows        %d indices below %d, from %d features\n  files       %d, each as its sha256 says\n"+
		"  signature   %s: %s → %s\n  golden rows as Python computed them, to 1e-6\n  loaded in   %d ms, warm up included\n",
		s, m.Label, m.Created.UTC().Format(time.RFC3339), m.Training.Rows,
		m.RowLen, m.TableRows, len(encoder.Columns()), len(m.Files),
		m.Signature.Name, m.Signature.Input, m.Signature.Output, took.Milliseconds())
	for _, name := range slices.Sorted(maps.Keys(m.Metrics)) {
		if value, ok := m.Metric(name); ok {
			report += fmt.Sprintf("  %-11s %g\n", name, value)
		}
	}
	_, err = io.WriteString(stdout, report)
	return err
}

// nameOf is the model and version that a directory of a store is taken for, <model>/<version>; one elsewhere, a copy or
// a version not yet placed, is taken for what its manifest says.
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
