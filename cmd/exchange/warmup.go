package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gavel/internal/datasets"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/people"
	"gavel/internal/exchange/sales"
	"gavel/internal/exchange/shoppers"
	"gavel/internal/rank/profile"
)

// warmupCmd writes what a ranker would have learnt from before it had a classifier: clicks of a day that went to any
// campaign, each alike (the policy uniform), and their sales by the hidden truth.
type warmupCmd struct {
	Config   string  `type:"existingfile" help:"YAML file; see docs/replay.md for every key."`
	Datasets string  `required:"" help:"Directory of data sets; the one that is made must be new or empty."`
	DataSet  string  `default:"sale" help:"Name of the data set."`
	Clicks   int     `default:"2000000" help:"Clicks to write."`
	Seed     *uint64 `help:"Seed of everything random."`
}

const (
	warmupDay   = 24 * time.Hour
	warmupFlush = 1_000_000 // rows that wait in memory, some 400 bytes each
)

// run writes the data set, and the ranker's campaign file. The clicks are spread evenly over the day before the start. out gets
// one JSON line.
func (x *warmupCmd) run(ctx context.Context, out io.Writer) (err error) {
	c := defaults()
	f := common{Config: x.Config, Seed: x.Seed}
	if err := f.apply(&c); err != nil {
		return err
	}
	if x.Clicks < 1 {
		return badConfig{fmt.Errorf("--clicks: %d is below 1", x.Clicks)}
	}
	if c.Start.IsZero() {
		c.Start = time.Now()
	}
	world, err := newSales(&c)
	if err != nil {
		return err
	}
	state := world.At(c.Start)
	if path := c.Ranking.CampaignFile; path != "" {
		if err := writeWhole(path, shoppers.CampaignFile(state)); err != nil {
			return fmt.Errorf("cannot write the campaign file: %w", err)
		}
	}
	set, err := datasets.Open(x.Datasets, x.DataSet, datasets.Options{Fields: profile.Names})
	if err != nil {
		return badConfig{err}
	}
	defer set.Close()
	if until, _ := set.Position(); until != 0 {
		return badConfig{fmt.Errorf("%s in %s has rows already; name another data set, or remove it", x.DataSet, x.Datasets)}
	}
	sold, err := x.fill(ctx, set, state, c.Start)
	if err != nil {
		return fmt.Errorf("cannot write the clicks: %w", err)
	}
	return json.NewEncoder(out).Encode(map[string]any{"clicks": x.Clicks, "sales": sold, "campaigns": len(state.Active), "until_ms": c.Start.UnixMilli(), "seed": c.Seed})
}

// fill adds the clicks, and returns how many sales they brought.
func (x *warmupCmd) fill(ctx context.Context, set *datasets.Set, state *sales.State, start time.Time) (sold int, err error) {
	root := dice.New(state.Seed()).With(0x7761726d) // "warm"
	begin := start.Add(-warmupDay)
	for i := range x.Clicks {
		k := root.With(uint64(i))
		at := begin.Add(time.Duration(float64(warmupDay) * float64(i) / float64(x.Clicks)))
		person := people.Draw(k)
		campaign := state.Active[k.With(6).Intn(len(state.Active))]
		row := datasets.Row{ID: fmt.Sprintf("warm-%x", i), Time: at.UnixMilli(), Campaign: campaign.ID, Values: valuesOf(&person, at),
			Label: k.With(7).Chance(campaign.Probability(&person, at)), Weight: float64(len(state.Active))}
		if row.Label {
			row.Value = 1
			sold++
		}
		if err := set.Add(row); err != nil {
			return sold, err
		}
		if set.Pending() < warmupFlush {
			continue
		}
		if err := ctx.Err(); err != nil {
			return sold, err
		}
		if err := set.Flush(row.Time, ""); err != nil {
			return sold, err
		}
	}
	return sold, set.Flush(start.UnixMilli(), "")
}

// valuesOf are a person's values of the ranker's fields.
func valuesOf(p *people.Person, at time.Time) []string {
	values := make([]string, len(profile.Names))
	for i, name := range profile.Names {
		if name == profile.Weekday {
			local := at.UTC().Add(time.Duration(p.Offset) * time.Minute)
			values[i] = strings.ToLower(local.Weekday().String()[:3])
		} else if f := slices.Index(people.Names[:], name); f >= 0 {
			values[i] = p.Text(f, at)
		}
	}
	return values
}
