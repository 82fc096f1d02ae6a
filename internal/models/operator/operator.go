// Package operator does what an operator asks of model versions: list a store, change what serves, verify a version.
// Its functions are the bodies of `bidder models` and `bidder verify`, so their texts name these commands and flags.
package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/scoring"
)

// ErrUsage marks arguments that can never be right, such as a version that is not positive.
var ErrUsage = errors.New("bidder: bad usage")

// Commands changes what a store's bidders serve, and prints what was done. It changes the store alone: bidders follow it.
type Commands struct {
	Store   models.Store
	Loaders engine.Loaders // those of the bidders
	Out     io.Writer
}

// Promote makes a version the stable one.
func (c *Commands) Promote(ctx context.Context, model string, version int64) error {
	if err := c.checkVersion(ctx, model, version); err != nil {
		return err
	}
	p, err := models.Promote(ctx, c.Store, model, version)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	return c.report(model, fmt.Sprintf("version %d is stable", version), p, nextExport(model, p))
}

// SetCanary lets a version serve a share of users, in (0, 1], beside the stable one.
func (c *Commands) SetCanary(ctx context.Context, model string, version int64, share float64) error {
	if err := c.checkVersion(ctx, model, version); err != nil {
		return err
	}
	p, err := models.SetCanary(ctx, c.Store, model, version, share)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	return c.report(model, fmt.Sprintf("version %d serves %g %% of users as canary", version, share*100), p, "")
}

// EndCanary ends the canary, if there is one.
func (c *Commands) EndCanary(ctx context.Context, model string) error {
	if err := c.checkModel(ctx, model); err != nil {
		return err
	}
	p, err := models.EndCanary(ctx, c.Store, model)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	return c.report(model, "there is no canary", p, "")
}

// Rollback makes the version stable that was stable before, and ends any canary.
func (c *Commands) Rollback(ctx context.Context, model string) error {
	if err := c.checkModel(ctx, model); err != nil {
		return err
	}
	was, at, err := c.Store.Pointer(ctx, model)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	if was.Previous != 0 {
		if err := c.checkVersion(ctx, model, was.Previous); err != nil {
			return err
		}
	}
	p, err := models.Rollback(ctx, c.Store, model, was, at)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	done := fmt.Sprintf("version %d is stable again, instead of %d", was.Previous, was.Stable)
	return c.report(model, done, p, nextExport(model, p))
}

// Pin makes a version the stable one, and keeps it: the trainer no longer promotes its exports. Version 0 means the
// version that is stable already.
func (c *Commands) Pin(ctx context.Context, model string, version int64, reason string) error {
	check := c.checkModel(ctx, model)
	if version != 0 {
		check = c.checkVersion(ctx, model, version)
	}
	if check != nil {
		return check
	}
	p, err := models.SetPin(ctx, c.Store, model, version, reason)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	done := fmt.Sprintf("pinned at version %d: the trainer's exports are put into the store and not promoted; bidder models unpin %s ends it",
		p.Stable, model)
	return c.report(model, done, p, "")
}

// Unpin lets the trainer promote its exports again.
func (c *Commands) Unpin(ctx context.Context, model string) error {
	if err := c.checkModel(ctx, model); err != nil {
		return err
	}
	p, err := models.Unpin(ctx, c.Store, model)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	return c.report(model, "not pinned", p, nextExport(model, p))
}

// report prints what was done, the pointer that results, and next, which may be "".
func (c *Commands) report(model, done string, p models.Pointer, next string) error {
	text := fmt.Sprintf("%s: %s\n  pointer     %v\n", model, done, p)
	if next != "" {
		text += fmt.Sprintf("  next        %s\n", next)
	}
	_, err := io.WriteString(c.Out, text)
	return err
}

// nextExport says whether the trainer's next export replaces the stable version.
func nextExport(model string, p models.Pointer) string {
	if p.Pinned == nil {
		return fmt.Sprintf("the trainer's next export is promoted; bidder models pin %s prevents that", model)
	}
	since := p.Pinned.Since.Format("2006-01-02 15:04:05Z07:00")
	return fmt.Sprintf("nothing: the pointer is pinned since %s; bidder models unpin %s ends that", since, model)
}

// checkModel returns an error unless the store has the model. The error lists the models that it has.
func (c *Commands) checkModel(ctx context.Context, model string) error {
	if err := models.CheckModel(model); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	names, err := c.Store.Models(ctx)
	if err != nil || slices.Contains(names, model) {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("bidder: %s holds no model; is it the store? --store names another", c.Store)
	}
	return fmt.Errorf("bidder: %s holds no model %q; it has %s", c.Store, model, strings.Join(names, ", "))
}

// checkVersion loads the version as bidders would, in each of its formats, since each bidder chooses one. So the pointer never names a
// version that a bidder refuses.
func (c *Commands) checkVersion(ctx context.Context, model string, version int64) error {
	if err := c.checkModel(ctx, model); err != nil {
		return err
	}
	if err := models.CheckVersion(model, version); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	files, err := c.Store.Fetch(ctx, model, version)
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	defer files.Release()
	err = models.LoadEach(ctx, c.Loaders, files.Dir, model, version, models.LoadOptions{WarmRows: []int{1}}, func(v *models.Servable) error {
		_, err := scoring.EncoderOf(v) // none for columns, which only predictions fill
		return err
	})
	if err != nil {
		return fmt.Errorf("bidder: bidders would refuse %s version %d, so the pointer stays as it is: %w", model, version, err)
	}
	return nil
}

// withRemedy adds to an error of the store what the operator can do about it.
func (c *Commands) withRemedy(ctx context.Context, model string, err error) error {
	switch {
	case errors.Is(err, models.ErrConflict):
		return fmt.Errorf("%w; see what it is now (bidder models list %s), then decide again", err, model)
	case errors.Is(err, models.ErrNoPointer):
		return fmt.Errorf("%w; without one the highest version serves: name the version (bidder models promote %s VERSION)", err, model)
	case errors.Is(err, models.ErrNoVersion):
		versions, _ := c.Store.Versions(ctx, model)
		texts := []string{}
		for _, v := range versions {
			texts = append(texts, strconv.FormatInt(v, 10))
		}
		return fmt.Errorf("%w (%s has versions %s)", err, model, strings.Join(texts, ", "))
	case errors.Is(err, models.ErrBadPointer):
		return fmt.Errorf("%w; correct or remove it: without one the highest version serves", err)
	default:
		return err
	}
}
