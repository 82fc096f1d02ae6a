package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gavel/internal/engine/plan"
	"gavel/internal/explain"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
)

// explainCommand are the flags of `bidder explain`.
type explainCommand struct {
	storeFlags
	Model   string `arg:"" help:"The model."`
	Version int64  `arg:"" optional:"" help:"Default: the stable one, or the newest where none is promoted."`
	Format  string `help:"text, svg (the stages drawn) or html (one page)." enum:"text,svg,html" default:"text"`
	Out     string `help:"Write to a file instead of stdout." placeholder:"FILE"`
	Alone   bool   `help:"Load no other model; what is shared is not shown then."`
}

func (c *explainCommand) run(ctx context.Context, stdout io.Writer) error {
	store, err := c.directory()
	if err != nil {
		return err
	}
	report, err := explain.Explain(ctx, explain.Options{
		Store: modelsdir.New(store), Objects: plan.NewObjects(filepath.Join(store, models.ObjectsDir)), Model: c.Model, Version: c.Version, Alone: c.Alone,
	})
	if err != nil {
		return err
	}
	var page bytes.Buffer // a file that exists is replaced only by a whole page
	write := map[string]func(io.Writer) error{"text": report.Text, "svg": report.SVG, "html": report.HTML}[c.Format]
	if err := write(&page); err != nil {
		return err
	}
	if c.Out == "" {
		_, err = page.WriteTo(stdout)
		return err
	}
	if err := os.WriteFile(c.Out, page.Bytes(), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s version %d is explained in %s\n", report.Model, report.Version, c.Out)
	return err
}
