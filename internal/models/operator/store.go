package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gavel/internal/models"
)

// Remove removes a version that the pointer does not name, and the objects that no other version names.
func (c *Commands) Remove(ctx context.Context, model string, version int64) error {
	if err := c.checkModel(ctx, model); err != nil {
		return err
	}
	versions, err := c.Store.Versions(ctx, model)
	if err != nil {
		return err
	}
	if !slices.Contains(versions, version) {
		return c.withRemedy(ctx, model, fmt.Errorf("bidder: cannot remove %s version %d: %w", model, version, models.ErrNoVersion))
	}
	p, at, err := c.Store.Pointer(ctx, model)
	if errors.Is(err, models.ErrNoPointer) {
		p, err = models.Pointer{Stable: versions[len(versions)-1]}, nil
	}
	if err != nil {
		return c.withRemedy(ctx, model, err)
	}
	if version == p.Previous || slices.Contains(p.Serving(), version) {
		return fmt.Errorf("bidder: cannot remove %s version %d, the pointer names it (%v); promote another first", model, version, p)
	}
	if err := c.Store.Remove(ctx, model, []int64{version}, at); err != nil {
		return c.withRemedy(ctx, model, err)
	}
	_, err = fmt.Fprintf(c.Out, "%s: version %d is removed\n", model, version)
	return err
}

// Sweep removes the objects that no version names.
func (c *Commands) Sweep(ctx context.Context) error {
	objects, ok := c.Store.(models.Objects)
	if !ok {
		return fmt.Errorf("bidder: versions of %s share no objects", c.Store)
	}
	done, err := objects.Sweep(ctx)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s: removed %d objects (%s)", c.Store, done.Removed, bytesText(done.Bytes))
	if done.Strays > 0 {
		text += fmt.Sprintf(" and %d unfinished files or versions", done.Strays)
	}
	if done.Fresh > 0 {
		text += fmt.Sprintf("; %d that no version names yet stay until they are %v old", done.Fresh, models.FreshObject)
	}
	_, err = fmt.Fprintln(c.Out, text)
	return err
}

// VerifyStore reads every file of every version and every object, and prints what the store holds. If any is damaged or
// missing, the error lists them all. No version is loaded: Verify does that.
func VerifyStore(ctx context.Context, store models.Store, out io.Writer) error {
	names, err := store.Models(ctx)
	if err != nil {
		return err
	}
	var faults []error
	versions := 0
	for _, model := range names {
		all, err := store.Versions(ctx, model)
		if err != nil {
			faults = append(faults, err)
		}
		versions += len(all)
		for _, v := range all {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := verifyFiles(ctx, store, model, v); err != nil {
				faults = append(faults, err)
			}
		}
	}
	report := fmt.Sprintf("%s: %d models, %d versions", store, len(names), versions)
	if objects, ok := store.(models.Objects); ok {
		text, damaged := verifyObjects(ctx, objects)
		report, faults = report+text, append(faults, damaged...)
	}
	if len(faults) == 0 {
		report += "\n  every file and object is as its sha256 says"
	}
	if _, err := fmt.Fprintln(out, report); err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("bidder: %s has %d faults:\n%w", store, len(faults), errors.Join(faults...))
	}
	return nil
}

func verifyFiles(ctx context.Context, store models.Store, model string, version int64) error {
	files, err := store.Fetch(ctx, model, version)
	if err != nil {
		return err
	}
	defer files.Release()
	_, err = models.VerifyVersion(files.Dir, model, version)
	return err
}

// verifyObjects reads every object. report goes on with the store's line.
func verifyObjects(ctx context.Context, store models.Objects) (report string, faults []error) {
	all, err := store.ListObjects(ctx)
	if err != nil {
		faults = append(faults, err)
	}
	var bytes, orphanBytes int64
	var orphans, fresh int
	for _, o := range all {
		if ctx.Err() != nil {
			return report, append(faults, ctx.Err())
		}
		bytes += max(o.Bytes, 0)
		if len(o.Named) == 0 {
			orphans++
			orphanBytes += o.Bytes
			if o.Fresh {
				fresh++
			}
		}
		if err := store.CheckObject(ctx, o.Sum); err != nil && len(o.Named) > 0 {
			faults = append(faults, fmt.Errorf("%w; refused for it: %s; port one of them again, or move a sound copy of the object into place",
				err, strings.Join(o.Named, ", ")))
		} else if err != nil {
			faults = append(faults, fmt.Errorf("%w; no version names it: remove it", err))
		}
	}
	report = fmt.Sprintf(", %d objects (%s)", len(all), bytesText(bytes))
	if orphans > 0 {
		report += fmt.Sprintf("\n  no version names %d objects (%s): bidder models sweep removes them; %d are less than %v old and stay until then",
			orphans, bytesText(orphanBytes), fresh, models.FreshObject)
	}
	return report, faults
}
