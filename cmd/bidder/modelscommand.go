package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"gavel/internal/engine/plan"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/models/operator"
)

// storeFlags name a model store.
type storeFlags struct {
	Config string `help:"Configuration file that names the store (model_store)." default:"configs/bidder.yaml" placeholder:"FILE"`
	Store  string `help:"The model store's directory, instead of the configuration's." placeholder:"DIRECTORY"`
}

// directory is the store's.
func (f *storeFlags) directory() (string, error) {
	if f.Store != "" {
		return f.Store, nil
	}
	config, err := LoadConfig(f.Config)
	if err != nil {
		return "", fmt.Errorf("%w:\n%w (--store names the store without a configuration)", errConfig, err)
	}
	return config.ModelStore, nil
}

// modelsCommand are the flags of `bidder models`. The command works on the store alone, and bidders follow the store.
type modelsCommand struct {
	storeFlags

	List struct {
		Model string `arg:"" optional:"" help:"One model; default: all."`
		JSON  bool   `help:"JSON for programs instead of a table."`
	} `cmd:"" help:"Show the versions in the store: role, age, quality, size."`
	Promote struct {
		Model   string `arg:""`
		Version int64  `arg:""`
	} `cmd:"" help:"Make a version the stable one."`
	Canary struct {
		Model   string  `arg:""`
		Version int64   `arg:"" optional:""`
		Share   float64 `help:"Share of users, above 0 and at most 1."`
		Off     bool    `help:"End the canary."`
	} `cmd:"" help:"Let a version serve a share of users beside the stable one, or end that."`
	Rollback struct {
		Model string `arg:""`
	} `cmd:"" help:"Return to the version that was stable before, and end any canary."`
	Pin struct {
		Model   string `arg:""`
		Version int64  `arg:"" optional:"" help:"Default: the stable one."`
		Reason  string `help:"Why, for other operators." placeholder:"TEXT"`
	} `cmd:"" help:"Keep a version: the trainer still exports versions, but promotes none."`
	Unpin struct {
		Model string `arg:""`
	} `cmd:"" help:"Let the trainer promote its exports again."`
	Remove struct {
		Model   string `arg:""`
		Version int64  `arg:""`
	} `cmd:"" help:"Remove a version that the pointer does not name, and the objects that only it names."`
	Sweep struct{} `cmd:"" help:"Remove the objects that no version names, once they are an hour old."`
}

// run runs a subcommand, "list" to "sweep".
func (c *modelsCommand) run(ctx context.Context, command string, stdout io.Writer) error {
	store, err := c.directory()
	if err != nil {
		return err
	}
	objects := plan.NewObjects(filepath.Join(store, models.ObjectsDir))
	do := operator.Commands{Store: modelsdir.New(store), Loaders: loaders(tensorflow.CallerThread, objects, plan.Options{}), Out: stdout}
	switch command {
	case "list":
		return do.List(ctx, c.List.Model, c.List.JSON)
	case "promote":
		return do.Promote(ctx, c.Promote.Model, c.Promote.Version)
	case "canary":
		return c.canary(ctx, &do)
	case "rollback":
		return do.Rollback(ctx, c.Rollback.Model)
	case "pin":
		return do.Pin(ctx, c.Pin.Model, c.Pin.Version, c.Pin.Reason)
	case "unpin":
		return do.Unpin(ctx, c.Unpin.Model)
	case "remove":
		return do.Remove(ctx, c.Remove.Model, c.Remove.Version)
	default:
		return do.Sweep(ctx)
	}
}

func (c *modelsCommand) canary(ctx context.Context, do *operator.Commands) error {
	f := &c.Canary
	if f.Off && (f.Version != 0 || f.Share != 0) {
		return fmt.Errorf("%w: --off ends the canary, whatever its version and share; leave both out", operator.ErrUsage)
	}
	if f.Off {
		return do.EndCanary(ctx, f.Model)
	}
	if f.Version == 0 || !(f.Share > 0 && f.Share <= 1) {
		return fmt.Errorf("%w: a canary takes a version and --share, above 0 and at most 1: bidder models canary %s 12 --share 0.1",
			operator.ErrUsage, f.Model)
	}
	return do.SetCanary(ctx, f.Model, f.Version, f.Share)
}
