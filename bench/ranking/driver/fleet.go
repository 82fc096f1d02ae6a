package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"gavel/internal/rank/classifiers"
	"gavel/internal/rank/ranktest"
	"gavel/internal/rank/score"
)

// size is how large a fleet is. Subcommands that share it make the same classifiers and users.
type size struct {
	campaigns, known, values int
	prior                    bool
}

func (s *size) flags(f *flag.FlagSet) {
	f.IntVar(&s.campaigns, "campaigns", 5000, "campaigns, a classifier each")
	f.IntVar(&s.known, "known", 1795, "values that each classifier knows")
	f.IntVar(&s.values, "values", 182_666, "values of all features together")
	f.BoolVar(&s.prior, "prior", true, "classifiers are deltas to a prior")
}

func (s *size) fleet() *ranktest.Fleet {
	return ranktest.New(ranktest.Options{Seed: 1, Values: s.values, Known: s.known, Golden: 1, Prior: s.prior})
}

// fleet writes into a directory: classifiers/, campaigns.yaml, bodies.jsonl (requests of /rank, a user each), profiles.jsonl (the
// same users), and prepared/NNNNN.VV.classifier: later versions of the first campaigns.
func fleet(f *flag.FlagSet, args []string) (any, error) {
	var s size
	s.flags(f)
	dir := f.String("dir", "", "where to")
	users := f.Int("users", 4000, "users, a request each")
	changed := f.Int("changed", 0, "campaigns that have prepared files")
	versions := f.Int("versions", 4, "prepared files of each")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	made := s.fleet()
	for _, name := range []string{"classifiers", "prepared"} {
		if err := os.MkdirAll(filepath.Join(*dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := writeUsers(*dir, made, *users); err != nil {
		return nil, err
	}
	if err := writeCampaigns(*dir, made, s.campaigns); err != nil {
		return nil, err
	}
	serving := filepath.Join(*dir, "classifiers")
	if s.prior {
		if err := write(filepath.Join(serving, made.Prior().Name()), made.Prior()); err != nil {
			return nil, err
		}
	}
	err := parallel(s.campaigns, func(i int) error {
		c := made.Classifier(i, 1)
		return write(filepath.Join(serving, c.Name()), c)
	})
	if err != nil {
		return nil, err
	}
	err = parallel(*changed**versions, func(i int) error {
		campaign, version := i / *versions, 2+i%*versions
		return write(prepared(*dir, campaign, version), made.Classifier(campaign, uint64(version)))
	})
	return s.campaigns, err
}

// prepared is the path of a prepared file.
func prepared(dir string, campaign, version int) string {
	return filepath.Join(dir, "prepared", fmt.Sprintf("%05d.%02d.classifier", campaign, version))
}

// write writes a file without a sync: nothing reads the directory yet.
func write(path string, c *classifiers.File) error {
	data, err := classifiers.Encode(c)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

func writeCampaigns(dir string, made *ranktest.Fleet, n int) error {
	return lines(filepath.Join(dir, "campaigns.yaml"), func(out *bufio.Writer) error {
		fmt.Fprintln(out, "campaigns:")
		for i := range n {
			fmt.Fprintf(out, "- {id: %s, value: %d, landing: 'https://shop.example/%d'}\n", made.Campaign(i), 1+i%50, i)
		}
		return nil
	})
}

const agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"

// writeUsers writes users' profiles, and the requests with them. A request has what a click has besides: user agent, country, language.
func writeUsers(dir string, made *ranktest.Fleet, n int) error {
	if err := lines(filepath.Join(dir, "bodies.jsonl"), func(out *bufio.Writer) error {
		for i := range n {
			text := map[string]string{"user_agent": agent, "country": "DE", "language": "de-DE,en;q=0.8"}
			if err := json.NewEncoder(out).Encode(map[string]any{"profile": fields(made.Profile(i), text)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return lines(filepath.Join(dir, "profiles.jsonl"), func(out *bufio.Writer) error {
		for i := range n {
			if err := json.NewEncoder(out).Encode(fields(made.Profile(i), map[string]string{})); err != nil {
				return err
			}
		}
		return nil
	})
}

func fields(p score.Profile, to map[string]string) map[string]string {
	for _, field := range p {
		to[field.Name] = field.Value
	}
	return to
}

// lines writes a file through a buffer.
func lines(path string, each func(out *bufio.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	if err := each(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// parallel calls do for 0 to n−1 on all processors, and returns an error of one of them.
func parallel(n int, do func(i int) error) error {
	var next atomic.Int64
	var group sync.WaitGroup
	faults := make(chan error, runtime.GOMAXPROCS(0)) // one a goroutine
	for range cap(faults) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(faults)
	return <-faults
}
