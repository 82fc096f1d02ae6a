package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
)

// churnFigures are what was done in one run, and what was found.
type churnFigures struct {
	Added      int     `json:"added"`
	Replaced   int     `json:"replaced"`
	Removed    int     `json:"removed"`
	Checked    int     `json:"checked"`     // rankings
	Compared   int     `json:"compared"`    // probabilities in them
	HalfLoaded int     `json:"half_loaded"` // probabilities that are of no whole file of their version
	Partial    int     `json:"partial"`     // rankings that were not scored in time
	Example    string  `json:"example"`     // of a half-loaded one
	Versions   int     `json:"versions"`    // of campaigns that were seen; if nothing changes, one of each
	Difference float64 `json:"difference"`  // largest, of the whole ones
}

// churner changes the files of the first campaigns in turn: each is replaced by its next version, removed, and added again.
type churner struct {
	dir, to, url      string
	fleet             *ranktest.Fleet
	changed, versions int
	names             []string
	whole             map[string]map[uint64]*classifiers.File // what a version's file says; 0: no classifier
	next              int                                     // number of the next change
	user              int
	found             churnFigures
}

// asked is one run: changes a minute, rankings that are checked a second, and how long.
type asked struct{ Rate, Checks, Seconds float64 }

// churn prints {} when it is ready. Then it answers each line of stdin, a run that is asked for, by a line of what was found.
func churn(f *flag.FlagSet, args []string) (any, error) {
	var s size
	s.flags(f)
	c := &churner{whole: map[string]map[uint64]*classifiers.File{}}
	f.StringVar(&c.dir, "dir", "", "the fleet's directory")
	f.StringVar(&c.to, "classifiers", "", "the ranker's directory of classifiers, on the same file system")
	f.StringVar(&c.url, "url", "", "the ranker's /rank")
	f.IntVar(&c.changed, "changed", 100, "campaigns that have prepared files; a ranking has them all")
	f.IntVar(&c.versions, "versions", 4, "prepared files of each")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	c.fleet = s.fleet()
	for i := range c.changed {
		of := map[uint64]*classifiers.File{0: nil}
		for version := 1; version <= 1+c.versions; version++ {
			of[uint64(version)] = c.fleet.Classifier(i, uint64(version))
		}
		c.names = append(c.names, c.fleet.Campaign(i))
		c.whole[c.fleet.Campaign(i)] = of
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for fmt.Println("{}"); ; {
		var a asked
		if err := in.Decode(&a); err == io.EOF {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		c.found = churnFigures{}
		if err := c.run(a); err != nil {
			return nil, err
		}
		if err := out.Encode(c.found); err != nil {
			return nil, err
		}
	}
}

func (c *churner) run(a asked) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.Seconds*float64(time.Second)))
	defer cancel()
	changed := make(chan error, 1) // one error or nil
	go func() { changed <- repeat(ctx, a.Rate/60, c.change) }()
	seen := map[string]bool{}
	err := repeat(ctx, a.Checks, func() error { return c.check(seen) })
	cancel()
	c.found.Versions = len(seen)
	return errors.Join(err, <-changed)
}

// repeat calls do so many times a second until ctx ends.
func repeat(ctx context.Context, rate float64, do func() error) error {
	if rate <= 0 {
		<-ctx.Done()
		return nil
	}
	every := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			if err := do(); err != nil {
				return err
			}
		}
	}
}

// change does the next change. Campaigns begin at different places of their cycle, so that the kinds of changes are mixed.
func (c *churner) change() error {
	i, turn := c.next%c.changed, c.next/c.changed
	c.next++
	path := filepath.Join(c.to, (&classifiers.File{Kind: classifiers.Classifier, Campaign: c.names[i]}).Name())
	if (turn+i)%3 == 0 {
		c.found.Removed++
		if err := os.Remove(path); !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		c.found.Replaced++
	} else {
		c.found.Added++
	}
	aside := filepath.Join(c.dir, "prepared", "next") // another link, so that a prepared file serves more than once
	if err := os.Link(prepared(c.dir, i, 2+turn%c.versions), aside); err != nil {
		return err
	}
	return os.Rename(aside, path)
}

// check ranks the changing campaigns for another user, and compares each probability with its version's file.
func (c *churner) check(seen map[string]bool) error {
	c.user++
	p := c.fleet.Profile(c.user)
	body, err := json.Marshal(map[string]any{"profile": fields(p, map[string]string{}), "campaigns": c.names, "limit": len(c.names)})
	if err != nil {
		return err
	}
	response, err := http.Post(c.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Ranking []struct {
			Campaign    string
			Probability float64
			Version     uint64
		}
		Partial string
	}
	if err := json.Unmarshal(text, &answer); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	if answer.Partial != "" { // the deadline passed before it began, which says nothing about files
		c.found.Partial++
	} else if len(answer.Ranking) != c.changed {
		c.halfLoaded(fmt.Sprintf("%d of %d are ranked", len(answer.Ranking), c.changed))
	}
	prior := c.fleet.Prior().Logit(p)
	for _, r := range answer.Ranking {
		file, known := c.whole[r.Campaign][r.Version]
		logit := prior
		if file != nil {
			logit += file.Logit(p)
		}
		difference := math.Abs(r.Probability - classifiers.Probability(logit))
		switch {
		case !known:
			c.halfLoaded(fmt.Sprintf("%s has version %d", r.Campaign, r.Version))
		case difference > classifiers.Tolerance:
			c.halfLoaded(fmt.Sprintf("%s, version %d: %g, not %g", r.Campaign, r.Version, r.Probability, classifiers.Probability(logit)))
		default:
			c.found.Difference = max(c.found.Difference, difference)
		}
		seen[fmt.Sprint(r.Campaign, r.Version)] = true
	}
	c.found.Checked++
	c.found.Compared += len(answer.Ranking)
	return nil
}

func (c *churner) halfLoaded(what string) {
	c.found.HalfLoaded++
	c.found.Example = what
}
