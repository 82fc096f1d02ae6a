package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gavel/internal/rank/bank"
	"gavel/internal/rank/classifiers"
)

// startClassifiers makes the bank and reads the directory's classifiers into it.
func (r *ranker) startClassifiers(context.Context) (err error) {
	if r.bank, err = bank.New(bank.Options{Log: r.log, Registerer: r.metrics}); err != nil {
		return err
	}
	r.parts.OnStop("bank", closeTimeout, func(context.Context) error { r.bank.Close(); return nil })
	if err := os.MkdirAll(r.config.Classifiers, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory of classifiers: %w", err)
	}
	entries, err := os.ReadDir(r.config.Classifiers)
	if err != nil {
		return err
	}
	var changes []classifiers.Change
	for _, e := range entries {
		if !classifiers.IsName(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(r.config.Classifiers, e.Name()))
		if err != nil {
			return err
		}
		f, err := classifiers.Decode(data)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
		changes = append(changes, classifiers.Change{File: f})
	}
	return errors.Join(r.bank.Apply(changes)...)
}
