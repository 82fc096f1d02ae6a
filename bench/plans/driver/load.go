package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// memory is what the process takes, in kB, from /proc/self/smaps_rollup. A page that n processes share counts 1/n in PSS.
type memory struct {
	PSS     int64 `json:"pss_kb"`
	Private int64 `json:"private_kb"`
	RSS     int64 `json:"rss_kb"`
}

// loaded is the first answer of `load`.
type loaded struct {
	Models  int     `json:"models"`
	Seconds float64 `json:"seconds"`
	Before  memory  `json:"before"` // with the rows, without a model
	Loaded  memory  `json:"loaded"`
	Called  memory  `json:"called"` // after each model was called once
	Cold    *timed  `json:"cold"`   // the first call of each model with one row
	Hot     *timed  `json:"hot"`    // calls 12 to 111 of each model
}

// load loads models, answers, and waits for stdin to end; each request in between is answered with the memory of then.
func load(args []string, l *lines) error {
	f, err := readFleet(args)
	if err != nil {
		return err
	}
	found := &loaded{Models: len(f.Models)}
	if found.Before, err = readMemory(); err != nil {
		return err
	}
	began := time.Now()
	all, err := f.load(1)
	if err != nil {
		return err
	}
	defer closeAll(all)
	found.Seconds = time.Since(began).Seconds()
	if found.Loaded, err = readMemory(); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	order := random.Perm(len(all))
	calls := func(each int) ([]time.Duration, error) {
		var took []time.Duration
		for _, k := range order {
			b, err := all[k].batch(1)
			if err != nil {
				return nil, err
			}
			for range each {
				from := time.Now()
				if err := all[k].ask(b, 1, random); err != nil && !refusal(err) {
					return nil, err
				}
				took = append(took, time.Since(from))
			}
		}
		return took, nil
	}
	cold, err := calls(1)
	if err != nil {
		return err
	}
	if found.Called, err = readMemory(); err != nil {
		return err
	}
	if _, err = calls(10); err != nil {
		return err
	}
	hot, err := calls(100)
	if err != nil {
		return err
	}
	found.Cold, found.Hot = percentiles(cold), percentiles(hot)
	if err := l.answer(found); err != nil {
		return err
	}
	for {
		var r struct{}
		if more, err := l.next(&r); !more {
			return err
		}
		now, err := readMemory()
		if err != nil {
			return err
		}
		if err := l.answer(now); err != nil {
			return err
		}
	}
}

// readMemory gives back what Go's heap does not need, as a collection does in Python, and reads what is left.
func readMemory() (memory, error) {
	debug.FreeOSMemory()
	file, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		return memory{}, err
	}
	defer file.Close()
	var m memory
	for s := bufio.NewScanner(file); s.Scan(); {
		var kb int64
		key, rest, _ := strings.Cut(s.Text(), ":")
		if _, err := fmt.Sscanf(rest, "%d kB", &kb); err != nil {
			continue // the line of the range
		}
		switch key {
		case "Pss":
			m.PSS = kb
		case "Rss":
			m.RSS = kb
		case "Private_Clean", "Private_Dirty":
			m.Private += kb
		}
	}
	if m.PSS == 0 {
		return memory{}, fmt.Errorf("/proc/self/smaps_rollup has no Pss")
	}
	return m, nil
}
