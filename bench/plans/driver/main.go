// Command driver measures the plan engine for bench/plans. A subcommand loads models, then answers each line of JSON on stdin
// with one on stdout, until stdin ends:
//
//	driver SUBCOMMAND FLEET.json < requests > answers
//
// A fleet (fleet.go) names a store, models in it, and files of rows that they are asked. Python starts a driver beside the
// peers, and has all of them measured in turns.
//
// The driver does not link TensorFlow, whose libraries would count in its memory. A subcommand that needs it has the build tag
// `tensorflow`, and adds itself to commands in an init function; bench/plans/programs.py builds both forms.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"gavel/internal/host"
)

// command is a subcommand. args are what follows its name.
type command struct {
	does string // what it measures, in one line
	run  func(args []string, l *lines) error
}

// commands are the subcommands by name, each in a file of its own.
var commands = map[string]command{
	"load":  {"the time and memory that models take to load, and their first calls against later ones", load},
	"rows":  {"calls with one row or many, each of a random model with random rows", rows},
	"score": {"the outputs of all rows of a model, written to a file", score},
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "driver: %v\n", err)
		os.Exit(1)
	}
}

// Garbage is collected as rarely as by a bidder; configs/bidder.yaml has these, as limits.
const (
	gcPercent = 400
	gcBytes   = 256 << 20
)

func run(args []string, in io.Reader, out io.Writer) error {
	defer host.LimitGarbage(gcPercent, gcBytes).Stop()
	if len(args) > 0 {
		if c, ok := commands[args[0]]; ok {
			return c.run(args[1:], &lines{json.NewDecoder(in), json.NewEncoder(out)})
		}
	}
	var usage strings.Builder
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintf(&usage, "\n  %-10s %s", name, commands[name].does)
	}
	return fmt.Errorf("name a subcommand and a fleet, as `driver rows text.json`:%s", usage.String())
}

// lines are the requests that a subcommand reads, and its answers.
type lines struct {
	in  *json.Decoder
	out *json.Encoder
}

// next reads a request, and returns false where there are no more.
func (l *lines) next(request any) (bool, error) {
	switch err := l.in.Decode(request); err {
	case nil:
		return true, nil
	case io.EOF:
		return false, nil
	default:
		return false, fmt.Errorf("cannot read a request: %w", err)
	}
}

// answer writes an answer.
func (l *lines) answer(v any) error { return l.out.Encode(v) }
