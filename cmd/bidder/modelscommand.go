package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gavel/internal/engine/tensorflow"
	"gavel/internal/models"
	modelsdir "gavel/internal/models/dir"
	"gavel/internal/scoring"
)

// modelsCommand says which versions serve, and changes it. It works on the store alone: bidders follow the store.
type modelsCommand struct {
	Config string `help:"Configuration file that names the store (model_store)." default:"configs/bidder.yaml" placeholder:"FILE"`
	Store  string `help:"The model store's directory, instead of the configuration's." placeholder:"DIRECTORY"`

	List struct {
		Model string `arg:"" optional:"" help:"One model; default all."`
		JSON  bool   `help:"JSON for programs instead of a table."`
	} `cmd:"" help:"Show the versions in the store: what serves, how old, how good, how large."`
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
	} `cmd:"" help:"Go back to the version that was stable before, and end any canary."`
	Pin struct {
		Model   string `arg:""`
		Version int64  `arg:"" optional:"" help:"Default: the stable one."`
		Reason  string `help:"Why, for whoever looks next." placeholder:"TEXT"`
	} `cmd:"" help:"Keep a version: the trainer's exports are put into the store and not promoted."`
	Unpin struct {
		Model string `arg:""`
	} `cmd:"" help:"Let the trainer promote its exports again."`
}

// errUsage marks arguments that do not fit together; it ends with status 2.
var errUsage = errors.New("bidder: bad usage")

// run carries out a subcommand, "list" to "unpin".
func (c *modelsCommand) run(ctx context.Context, command string, stdout io.Writer) error {
	path := c.Store
	if path == "" {
		config, err := LoadConfig(c.Config)
		if err != nil {
			return fmt.Errorf("%w:\n%w (--store names the store without a configuration)", errConfig, err)
		}
		path = config.ModelStore
	}
	s := &modelsAt{ctx: ctx, store: modelsdir.New(path), out: stdout}
	switch command {
	case "list":
		return s.list(c.List.Model, c.List.JSON)
	case "promote":
		return s.promote(c.Promote.Model, c.Promote.Version)
	case "canary":
		return s.canary(c.Canary.Model, c.Canary.Version, c.Canary.Share, c.Canary.Off)
	case "rollback":
		return s.rollback(c.Rollback.Model)
	case "pin":
		return s.pin(c.Pin.Model, c.Pin.Version, c.Pin.Reason)
	default:
		return s.unpin(c.Unpin.Model)
	}
}

// modelsAt are the commands on one store.
type modelsAt struct {
	ctx   context.Context
	store models.Store
	out   io.Writer
}

func (s *modelsAt) list(model string, asJSON bool) error {
	names := []string{model}
	var err error
	if model != "" {
		err = s.known(model)
	} else {
		names, err = s.store.Models(s.ctx)
	}
	if err != nil {
		return err
	}
	all := []models.Listing{}
	for _, name := range names {
		l, err := models.List(s.ctx, s.store, name)
		if err != nil {
			return err
		}
		all = append(all, l)
	}
	if asJSON {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	return writeListings(s.out, s.store.String(), all)
}

func (s *modelsAt) promote(model string, version int64) error {
	if err := s.sound(model, version); err != nil {
		return err
	}
	p, err := models.Promote(s.ctx, s.store, model, version)
	return s.told(model, p, err, fmt.Sprintf("version %d is stable", version), true)
}

func (s *modelsAt) canary(model string, version int64, share float64, off bool) error {
	switch {
	case off && (version != 0 || share != 0):
		return fmt.Errorf("%w: --off ends the canary, whatever its version and share; leave both out", errUsage)
	case off:
		if err := s.known(model); err != nil {
			return err
		}
		p, err := models.EndCanary(s.ctx, s.store, model)
		return s.told(model, p, err, "there is no canary", false)
	case !(share > 0 && share <= 1) || version == 0:
		return fmt.Errorf("%w: a canary takes a version and --share, above 0 and at most 1: bidder models canary %s 12 --share 0.1", errUsage, model)
	}
	if err := s.sound(model, version); err != nil {
		return err
	}
	p, err := models.SetCanary(s.ctx, s.store, model, version, share)
	return s.told(model, p, err, fmt.Sprintf("version %d serves %g %% of users as canary", version, share*100), false)
}

func (s *modelsAt) rollback(model string) error {
	if err := s.known(model); err != nil {
		return err
	}
	was, at, err := s.store.Pointer(s.ctx, model)
	if err != nil {
		return s.remedy(model, err)
	}
	if was.Previous != 0 {
		if err := s.sound(model, was.Previous); err != nil {
			return err
		}
	}
	p, err := models.Rollback(s.ctx, s.store, model, was, at)
	return s.told(model, p, err, fmt.Sprintf("version %d is stable again, instead of %d", was.Previous, was.Stable), true)
}

func (s *modelsAt) pin(model string, version int64, reason string) error {
	check := s.known(model)
	if version != 0 {
		check = s.sound(model, version)
	}
	if check != nil {
		return check
	}
	p, err := models.SetPin(s.ctx, s.store, model, version, reason)
	return s.told(model, p, err, fmt.Sprintf("pinned at version %d: the trainer's exports are put into the store and not promoted; bidder models unpin %s ends it",
		p.Stable, model), false)
}

func (s *modelsAt) unpin(model string) error {
	if err := s.known(model); err != nil {
		return err
	}
	p, err := models.Unpin(s.ctx, s.store, model)
	return s.told(model, p, err, "not pinned", true)
}

// told prints what was done, and what the pointer is then. overtaken: say whether the trainer's next export takes its place.
func (s *modelsAt) told(model string, p models.Pointer, err error, done string, overtaken bool) error {
	if err != nil {
		return s.remedy(model, err)
	}
	text := fmt.Sprintf("%s: %s\n  pointer     %v\n", model, done, p)
	switch {
	case !overtaken:
	case p.Pinned == nil:
		text += fmt.Sprintf("  next        the trainer's next export is promoted; bidder models pin %s prevents that\n", model)
	default:
		text += fmt.Sprintf("  next        nothing: the pointer is pinned since %s; bidder models unpin %s ends that\n", p.Pinned.Since.Format("2006-01-02 15:04:05Z07:00"), model)
	}
	_, err = io.WriteString(s.out, text)
	return err
}

// known returns an error that names the models there are unless the store has this one.
func (s *modelsAt) known(model string) error {
	if err := models.CheckModel(model); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	names, err := s.store.Models(s.ctx)
	if err != nil || slices.Contains(names, model) {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("bidder: %s holds no model; is it the store? --store names another", s.store)
	}
	return fmt.Errorf("bidder: %s holds no model %q; it has %s", s.store, model, strings.Join(names, ", "))
}

// sound loads the version as serving would, so that the pointer never names one that bidders refuse.
func (s *modelsAt) sound(model string, version int64) error {
	if err := s.known(model); err != nil {
		return err
	}
	if err := models.CheckVersion(model, version); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	files, err := s.store.Fetch(s.ctx, model, version)
	if err != nil {
		return s.remedy(model, err)
	}
	defer files.Release()
	v, err := models.Load(s.ctx, loaders(tensorflow.CallerThread), files.Dir, model, version, models.LoadOptions{WarmRows: []int{1}})
	if err == nil {
		defer v.Release()
		_, err = scoring.EncoderOf(v)
	}
	if err != nil {
		return fmt.Errorf("bidder: bidders would refuse %s version %d, so the pointer stays as it is: %w", model, version, err)
	}
	return nil
}

// remedy says what to do about an error of the store.
func (s *modelsAt) remedy(model string, err error) error {
	switch {
	case errors.Is(err, models.ErrConflict):
		return fmt.Errorf("%w; look at what it is now (bidder models list %s), then decide again", err, model)
	case errors.Is(err, models.ErrNoPointer):
		return fmt.Errorf("%w; without one the highest version serves: name the version (bidder models promote %s VERSION)", err, model)
	case errors.Is(err, models.ErrNoVersion):
		versions, _ := s.store.Versions(s.ctx, model)
		texts := []string{}
		for _, v := range versions {
			texts = append(texts, strconv.FormatInt(v, 10))
		}
		return fmt.Errorf("%w (%s has versions %s)", err, model, strings.Join(texts, ", "))
	case errors.Is(err, models.ErrBadPointer):
		return fmt.Errorf("%w; mend or remove it: without one the highest version serves", err)
	default:
		return err
	}
}
