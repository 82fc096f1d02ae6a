// Command driver is the Go side of bench/ranking. A subcommand prints one JSON object, but churn one for each run that it is asked for:
//
//	driver fleet     writes the files of a fleet of campaigns
//	driver bank      measures the bank alone
//	driver churn     changes a ranker's classifier files, and checks its answers
//	driver workers   measures Python workers, for the figures
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
)

// commands are the subcommands by name. Each declares its flags, parses them and returns what is printed, or nil.
var commands = map[string]func(f *flag.FlagSet, args []string) (any, error){
	"fleet":   fleet,
	"bank":    measureBank,
	"churn":   churn,
	"workers": measureWorkers,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "driver: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("name a subcommand: fleet, bank, churn or workers")
	}
	result, err := commands[args[0]](flag.NewFlagSet(args[0], flag.ExitOnError), args[1:])
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if result == nil {
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// quantile returns a quantile of ascending values.
func quantile(ascending []float64, q float64) float64 {
	return ascending[min(len(ascending)-1, int(q*float64(len(ascending))))]
}

func median(values []float64) float64 { return quantile(slices.Sorted(slices.Values(values)), 0.5) }
