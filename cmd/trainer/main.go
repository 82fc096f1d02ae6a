// Command trainer learns from the event stream and publishes model versions.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"gavel/internal/features"
	"gavel/internal/process"
	"gavel/internal/recipe"
	"gavel/internal/trainer"
)

const about = `Joins the bidders' events into examples, encodes them by each recipe, feeds them to Python children that
learn without pause, and publishes the model versions these export.

Health, status and metrics are on the admin port: /healthz, /readyz, /metrics, /debug/pprof.
SIGTERM ends it in order: the children learn what they were sent, checkpoint, and end.`

type commands struct {
	Version kong.VersionFlag `help:"Print the version, the commit and the tools it was built with."`

	Run      runCommand      `cmd:"" help:"Learn until SIGTERM or Ctrl-C."`
	Rank     rankCommand     `cmd:"" help:"Train the ranker's classifiers until SIGTERM or Ctrl-C: fill a data set with clicks and sales, and train what changes."`
	Check    checkCommand    `cmd:"" help:"Check the configuration and its recipes, and report every fault."`
	Encode   encodeCommand   `cmd:"" help:"Encode raw values: read CSV from stdin, write training frames to stdout."`
	Features featuresCommand `cmd:"" help:"List the sources and transforms that a recipe's features can have."`
}

type configFlag struct {
	Config string `help:"Configuration file (see docs/configuration.md)." default:"configs/trainer.yaml" placeholder:"FILE"`
}

type runCommand struct{ configFlag }

type rankCommand struct {
	Config string `help:"Configuration file (see docs/configuration.md)." default:"configs/rank-trainer.yaml" placeholder:"FILE"`
}

type checkCommand struct{ configFlag }

type encodeCommand struct {
	Recipe string `help:"The model's recipe, models/<model>/recipe.yaml." required:"" placeholder:"FILE"`
	Rows   int    `help:"The most rows in one frame." default:"4096"`
}

type featuresCommand struct{}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitStatus(err))
	}
}

// errConfig marks a fault that a person must mend before the trainer can start. It ends with status 2.
var errConfig = errors.New("trainer: cannot start")

// build describes what this binary was built from.
var build = process.BuildOf("")

func exitStatus(err error) int {
	if errors.Is(err, errConfig) || errors.Is(err, trainer.ErrRefused) {
		return 2
	}
	return 1
}

// errHelp ends run after it has printed a help text or the version.
var errHelp = errors.New("help")

// run is main with its inputs and outputs as arguments, so that tests can call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	defer func() {
		if r := recover(); r == errHelp { // kong's Exit replaces os.Exit and must not return
			err = nil
		} else if r != nil {
			panic(r)
		}
	}()
	var c commands
	parser, err := kong.New(&c, kong.Name("trainer"), kong.Description(about), kong.Writers(stdout, stderr),
		kong.Vars{"version": build.Line("trainer")},
		kong.Exit(func(int) { panic(errHelp) }), kong.UsageOnError())
	if err != nil {
		return fmt.Errorf("trainer: cannot set up the command line: %w", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w: %w (trainer --help)", errConfig, err)
	}
	switch parsed.Command() {
	case "run":
		return runTrainer(ctx, c.Run.Config, stderr)
	case "rank":
		return runRank(ctx, c.Rank.Config, stderr)
	case "check":
		return check(c.Check.Config, stdout)
	case "encode":
		return encode(ctx, &c.Encode, stdin, stdout)
	default:
		return listFeatures(stdout)
	}
}

func encode(ctx context.Context, c *encodeCommand, stdin io.Reader, stdout io.Writer) error {
	r, err := recipe.Load(c.Recipe)
	if err != nil {
		return fmt.Errorf("%w: %w", errConfig, err)
	}
	out := bufio.NewWriterSize(stdout, 1<<20)
	_, err = trainer.EncodeCSV(ctx, r, bufio.NewReaderSize(stdin, 1<<20), out, c.Rows)
	return errors.Join(err, out.Flush())
}

func check(path string, stdout io.Writer) error {
	c, recipes, err := load(path)
	if err != nil {
		return err
	}
	for i, r := range recipes {
		e := r.Encoder()
		fmt.Fprintf(stdout, "%s: %s, %s, %d features, %d indices a row, %d table rows\n",
			c.Recipes[i], r.Model, r.Architecture.Kind, len(r.Features), e.RowLen(), e.TableRows())
	}
	return nil
}

func listFeatures(stdout io.Writer) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SOURCE\tKIND\tREAD ONCE A\tWHAT")
	for _, s := range features.Sources() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, s.Kind, s.Once, s.Doc)
	}
	fmt.Fprintln(w, "\t\t\t\nTRANSFORM\t\t\tWHAT")
	for _, t := range features.Transforms() {
		fmt.Fprintf(w, "%s\t\t\t%s\n", t.Name, t.Doc)
	}
	fmt.Fprintln(w, "\t\t\t\nENCODER\t\t\tWHAT")
	fmt.Fprintln(w, "hash\t\t\tthe value's hash, into as many indices as buckets says")
	fmt.Fprintln(w, "vocabulary\t\t\tthe value's place in values; one more index for any other")
	return w.Flush()
}
