// Command bidder answers OpenRTB bid requests with probabilities from TensorFlow models that run in this process.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/host"
	"gavel/internal/models"
	"gavel/internal/models/operator"
	"gavel/internal/process"
)

const about = `Answers OpenRTB bid requests (POST /openrtb2/bid, /openrtb2/bid/SECRET) with probabilities from TensorFlow models in this process.
It joins rows into batches, books spend from notices, and streams events to the trainer.

The admin port serves the batcher's page (/), health (/healthz, /readyz), metrics (/metrics) and profiles (/debug/pprof).
On SIGTERM, the bidder refuses new auctions, answers the running ones, flushes its events, and ends.`

type commands struct {
	Version kong.VersionFlag `help:"Print the version, the commit, and the versions of Go and TensorFlow."`

	Serve    serveCommand   `cmd:"" help:"Serve until SIGTERM or Ctrl-C."`
	Check    checkCommand   `cmd:"" help:"Check the configuration and the campaign file, and list every fault."`
	Baseline serveCommand   `cmd:"" help:"Decode every bid request and answer with a no-bid. For benchmarks."`
	Models   modelsCommand  `cmd:"" help:"Show the versions in the model store; promote, canary, roll back, pin, remove."`
	Erase    eraseCommand   `cmd:"" help:"Erase a user from the events of the stream, for good (docs/privacy.md)."`
	Verify   verifyCommand  `cmd:"" help:"Load a model version as serving would, in each of its formats, or check a whole store. Status 1 if it is refused or damaged."`
	Explain  explainCommand `cmd:"" help:"Show why a plan is slow or large: its stages with their cost and memory, the rules that rewrote it, what it shares."`
	Score    scoreCommand   `cmd:"" help:"Score rows from stdin with a model version of any format. Rows and outputs are msgpack (docs/contracts.md)."`
}

type configFlag struct {
	Config string `help:"Configuration file (see docs/configuration.md)." default:"configs/bidder.yaml" placeholder:"FILE"`
}

type serveCommand struct{ configFlag }

type checkCommand struct{ configFlag }

type verifyCommand struct {
	Directory string `arg:"" help:"A version: <store>/<model>/<version>, or a copy of one. For verify, also a store." placeholder:"DIRECTORY"`
	Objects   string `help:"Directory of the parameters of plans. Default: <store>/objects." placeholder:"DIRECTORY"`
}

type scoreCommand struct {
	verifyCommand
	Engine string `help:"The format to load: savedmodel, plan or onnx. Default: the version's first." placeholder:"FORMAT"`
	Batch  int    `help:"Most rows of one run." default:"128"`
}

func (c *verifyCommand) loaders() engine.Loaders {
	objects := cmp.Or(c.Objects, filepath.Join(c.Directory, "..", "..", models.ObjectsDir))
	return loaders(tensorflow.CallerThread, plan.NewObjects(objects), plan.Options{})
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitStatus(err))
	}
}

// errConfig marks a fault that a person must correct before the bidder can start. The bidder ends with status 2.
var errConfig = errors.New("bidder: cannot start")

// build returns what this binary was built from.
func build() process.Build { return process.BuildOf(tensorflow.LibraryVersion()) }

func exitStatus(err error) int {
	if errors.Is(err, errConfig) || errors.Is(err, operator.ErrUsage) {
		return 2
	}
	return 1
}

// run is main with its inputs and outputs as arguments, so that tests can call it. If the command serves, run returns when
// ctx has ended and everything has stopped. Logs go to stderr, results to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cli commands
	ended := false
	parser, err := kong.New(&cli, kong.Name("bidder"), kong.Description(about), kong.Writers(stdout, stderr),
		kong.Vars{"version": build().Line("bidder")},
		kong.UsageOnError(), kong.Exit(func(int) { ended = true }))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if ended { // --help or --version was printed
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w (bidder --help lists the flags)", errConfig, err)
	}
	switch command := strings.Fields(parsed.Command()); command[0] {
	case "check":
		return check(cli.Check.Config, stdout)
	case "models":
		return cli.Models.run(ctx, command[1], stdout)
	case "erase":
		return cli.Erase.run(ctx, stdout)
	case "verify":
		return operator.Verify(ctx, cli.Verify.loaders(), cli.Verify.Directory, stdout)
	case "explain":
		return cli.Explain.run(ctx, stdout)
	case "score":
		return operator.Score(ctx, cli.Score.loaders(), cli.Score.Directory, cli.Score.Engine, cli.Score.Batch, os.Stdin, stdout)
	case "baseline":
		return withConfig(ctx, cli.Baseline.Config, stderr, baseline)
	default:
		return withConfig(ctx, cli.Serve.Config, stderr, serve)
	}
}

// withConfig reads the configuration file, sets up the process as it says, and calls run.
func withConfig(ctx context.Context, path string, stderr io.Writer, run func(context.Context, Config, *slog.Logger) error) error {
	config, err := LoadConfig(path)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errConfig, err)
	}
	if os.Getenv("GOGC") == "" {
		defer host.LimitGarbage(config.Limits.GCPercent, config.Limits.GCBytes).Stop()
	}
	log := config.Log.Logger(stderr)
	if err := host.ShortSlices(); err != nil { // without them, answers are somewhat later in an overload
		log.Info("no short time slices", "error", err)
	}
	return run(ctx, config, log)
}
