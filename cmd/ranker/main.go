// Command ranker ranks thousands of campaigns for one user's click, by a classifier a campaign.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"gavel/internal/campaigns/watch"
	"gavel/internal/host"
	"gavel/internal/process"
	"gavel/internal/rank/landings"
)

const about = `Ranks campaigns for a user (POST /rank) and redirects clicks to the best campaign's landing page (GET /click), by one
classifier a campaign. Classifiers are files; the ranker follows their directory while it serves. With "scorer: plans", "workers"
or "onnx", a model's classifiers are plans of a model store, estimators of scikit-learn that Python processes run, or ONNX files. Clicks
and the sales that follow (/sale) go to the event stream.

The admin port serves a page of all campaigns (/), health (/healthz, /readyz), metrics (/metrics) and profiles (/debug/pprof).
On SIGTERM, the ranker answers the running requests, flushes its events, and ends.`

type commands struct {
	Version kong.VersionFlag `help:"Print the version, the commit and the version of Go."`

	Serve serveCommand `cmd:"" help:"Serve until SIGTERM or Ctrl-C."`
	Check checkCommand `cmd:"" help:"Check the configuration, the campaign file and what models read, and list every fault."`
}

type configFlag struct {
	Config string `help:"Configuration file (see docs/configuration.md)." default:"configs/ranker.yaml" placeholder:"FILE"`
}

type serveCommand struct{ configFlag }

type checkCommand struct{ configFlag }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitStatus(err))
	}
}

// errConfig marks a fault that a person must correct before the ranker can start. The ranker ends with status 2.
var errConfig = errors.New("ranker: cannot start")

func build() process.Build { return process.BuildOf("") }

func exitStatus(err error) int {
	if errors.Is(err, errConfig) {
		return 2
	}
	return 1
}

// run is main with its inputs and outputs as arguments, so that tests can call it. If the command serves, run returns when
// ctx has ended and everything has stopped. Logs go to stderr, results to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cli commands
	ended := false
	parser, err := kong.New(&cli, kong.Name("ranker"), kong.Description(about), kong.Writers(stdout, stderr),
		kong.Vars{"version": build().Line("ranker")},
		kong.UsageOnError(), kong.Exit(func(int) { ended = true }))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if ended { // --help or --version was printed
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w (ranker --help lists the flags)", errConfig, err)
	}
	if parsed.Command() == "check" {
		return check(ctx, cli.Check.Config, stdout)
	}
	config, err := loadConfig(cli.Serve.Config)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if os.Getenv("GOGC") == "" {
		defer host.LimitGarbage(config.Limits.GCPercent, config.Limits.GCBytes).Stop()
	}
	log := config.Log.Logger(stderr)
	if err := host.ShortSlices(); err != nil { // without them, answers are later where threads compete
		log.Info("no short time slices", "error", err)
	}
	host.RaiseProcs(host.Processors()) // any request may be in C, which scores it
	return serve(ctx, config, log)
}

// check reads the configuration, and the campaign file, descriptions and plans that it names. If a file has faults, the error lists them
// all.
func check(ctx context.Context, path string, stdout io.Writer) error {
	config, err := loadConfig(path)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	data, err := watch.Read(config.Campaigns)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	set, err := landings.Parser(config.modelNames())(config.Campaigns, data)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	sound := fmt.Sprintf("%s: sound\n%s: sound, %d active campaigns, %d inactive\n", path, config.Campaigns, set.Len(), set.Inactive())
	var faults []error
	if config.uses(scorerWorkers) {
		faults = append(faults, config.Workers.CheckProcesses())
	}
	for _, name := range config.modelNames() {
		m := config.Models[name]
		found, err := m.check(ctx)
		if err != nil {
			faults = append(faults, fmt.Errorf("models.%s: %w", name, err))
		}
		if m.Scorer != scorerBank {
			sound += fmt.Sprintf("%s: sound, %d classifiers of model %s\n", m.Directory, found, name)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	_, err = io.WriteString(stdout, sound)
	return err
}
