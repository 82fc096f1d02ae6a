// Command exchange is the counterpart of the bidder: it sends OpenRTB bid requests over HTTP, runs the auctions, sends
// notices and clicks like a real exchange and its users would, keeps its own books and reports them.
//
// The last line of stdout is the report, one JSON object; logs go to stderr. Exit status: 0 clean end (a signal too),
// 1 a run that failed, 2 bad configuration.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // users live in time zones, with or without the system's table

	"github.com/alecthomas/kong"

	"gavel/internal/exchange/clickmodel"
	"gavel/internal/exchange/engine"
	"gavel/internal/exchange/lot"
	"gavel/internal/exchange/replay"
	"gavel/internal/exchange/report"
	"gavel/internal/exchange/sales"
	"gavel/internal/exchange/shoppers"
	"gavel/internal/exchange/sim"
	"gavel/internal/openrtb"
	"gavel/internal/process"
	"gavel/internal/strictyaml"
)

func main() {
	// The exchange makes little garbage and shares its cores with the bidder: collect less often.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "exchange:", err)
		if errors.As(err, new(badConfig)) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// badConfig marks errors of flags and files that people edit.
type badConfig struct{ error }

// common are the flags of both commands; empty ones leave the config as it is.
type common struct {
	Config       string         `type:"existingfile" help:"YAML file; see docs/replay.md for every key."`
	Bidder       string         `help:"Base URL of the bidder."`
	Rate         *float64       `help:"Auctions a second; 0: the source's own clock, where it has one."`
	Duration     *time.Duration `help:"How long to offer; 0: until the source ends or a signal comes."`
	Limit        *int64         `help:"Lots to offer at most; 0: no limit."`
	Seed         *uint64        `help:"Seed of everything random."`
	Report       string         `help:"Also write the report to FILE." placeholder:"FILE"`
	Outcomes     string         `help:"Write a row per billed impression to FILE (CSV)." placeholder:"FILE"`
	Ranking      string         `help:"Write a row per campaign and 10 s of a ranking to FILE (CSV)." placeholder:"FILE"`
	StatusListen *string        `help:"Serve GET /status on HOST:PORT; empty: not at all." placeholder:"HOST:PORT"`
	Quiet        bool           `help:"Log warnings only."`
}

type simulateCmd struct {
	common
}

type replayCmd struct {
	common
	Data  string   `required:"" help:"File or directory of the log."`
	Set   string   `default:"auto" help:"${sets}, or auto: by the files that are there."`
	Speed *float64 `help:"How much faster than the rows' own clock, with --rate 0."`
}

// run is the whole program: args are the command line, out gets the report, logs the log. It ends cleanly with ctx.
func run(ctx context.Context, args []string, out, logs io.Writer) error {
	var cli struct {
		Version kong.VersionFlag `help:"Print the version, the commit and what it was built with, and end."`

		Simulate simulateCmd `cmd:"" help:"Offer simulated traffic."`
		Replay   replayCmd   `cmd:"" help:"Offer the auctions of a real log."`
		Warmup   warmupCmd   `cmd:"" help:"Write the clicks of a day, with their sales, as a ranker's data set; needs no ranker."`
		Examples examplesCmd `cmd:"" help:"Write examples with their hidden probabilities as NumPy files; needs no bidder."`
	}
	exited := false
	parser, err := kong.New(&cli, kong.Name("exchange"), kong.Writers(out, logs),
		kong.Vars{"sets": replay.SetNames(), "version": process.BuildOf("").Line("exchange")},
		kong.Description("The counterpart of a bidder: offers auctions, clears them, sends notices and clicks, keeps books."),
		kong.Exit(func(int) { exited = true }))
	if err != nil {
		return fmt.Errorf("cannot read flags: %w", err)
	}
	parsed, err := parser.Parse(args)
	if exited { // --help or --version was asked for and printed
		return nil
	}
	if err != nil {
		return badConfig{err}
	}
	switch parsed.Command() {
	case "examples":
		return cli.Examples.run(ctx, out)
	case "warmup":
		return cli.Warmup.run(ctx, out)
	}
	c := defaults()
	flags := &cli.Simulate.common
	if parsed.Command() == "replay" {
		flags = &cli.Replay.common
		c.Exchange, c.RenderShare = "replay", 1 // every row won is learnt from, unless the config says otherwise
	}
	if err := flags.apply(&c); err != nil {
		return err
	}
	level := slog.LevelInfo
	if flags.Quiet {
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level})).With("process", "exchange")
	if c.Start.IsZero() {
		c.Start = time.Now()
	}
	if cli.Replay.Speed != nil {
		c.Replay.Speed = *cli.Replay.Speed
	}
	source, name, clicks, conversions, done, err := world(&c, cli.Replay.Data, cli.Replay.Set)
	if err != nil {
		return err
	}
	defer done()
	return hold(ctx, &c, flags, parsed.Command(), name, source, clicks, conversions, log, out)
}

// world makes the traffic, or the log's where data names one, and the hidden models of clicks and conversions. done
// closes it.
func world(c *config, data, set string) (source lot.Source, name string, clicks, conversions *clickmodel.Model, done func(), err error) {
	c.Traffic.Seed, c.Traffic.Start = c.Seed, c.Start
	traffic, err := sim.New(c.Traffic)
	if err != nil {
		return nil, "", nil, nil, nil, badConfig{err}
	}
	samples := traffic.Samples(4000)
	clicks = clickmodel.New(c.Clicks.options(c.Seed, c.Start))
	clicks.Calibrate(samples)
	conversions = clickmodel.New(c.Conversions.options(c.Seed+1, c.Start))
	conversions.Calibrate(samples)
	if data == "" {
		return traffic, "traffic", clicks, conversions, func() {}, nil
	}
	rows, name, err := replay.Open(data, set, c.Replay, c.Seed)
	if err != nil {
		return nil, "", nil, nil, nil, badConfig{err}
	}
	return rows, name, clicks, conversions, func() { rows.Close() }, nil
}

// apply reads the config file and lays the flags over it.
func (f *common) apply(c *config) error {
	if f.Config != "" {
		if err := strictyaml.ReadFile(f.Config, c); err != nil {
			return badConfig{err}
		}
	}
	if f.Bidder != "" {
		c.Bidder = f.Bidder
	}
	set(&c.Rate, f.Rate)
	set(&c.Duration, f.Duration)
	set(&c.Limit, f.Limit)
	set(&c.Seed, f.Seed)
	set(&c.StatusListen, f.StatusListen)
	if faults := c.Validate(); len(faults) > 0 {
		return badConfig{errors.Join(faults...)}
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// hold runs the engine with its files and its status server, and writes the report.
func hold(ctx context.Context, c *config, f *common, mode, name string, source lot.Source, clicks, conversions *clickmodel.Model, log *slog.Logger, out io.Writer) (err error) {
	var outcomes *report.Outcomes
	if f.Outcomes != "" {
		file, err := os.Create(f.Outcomes)
		if err != nil {
			return badConfig{fmt.Errorf("cannot write outcomes: %w", err)}
		}
		defer file.Close()
		outcomes = report.NewOutcomes(file)
	}
	crowd, err := newCrowd(c)
	if err != nil {
		return err
	}
	e, err := engine.New(c.Options, engine.Parts{Source: source, Clicks: clicks, Conversions: conversions, Outcomes: outcomes, Shoppers: crowd,
		Validate: openrtb.ValidateResponse, Log: log})
	if err != nil {
		return badConfig{err}
	}
	stopStatus, err := serveStatus(c.StatusListen, e, log)
	if err != nil {
		return errors.Join(badConfig{err}, e.Close())
	}
	defer stopStatus()
	log.Info("offering", "mode", mode, "source", name, "bidder", c.Bidder, "rate", c.Rate, "duration", c.Duration, "seed", c.Seed)
	r, err := e.Run(ctx)
	r.Mode, r.Source = mode, name
	if err != nil {
		return err
	}
	log.Info("done", "auctions", r.Auctions, "bids", r.Bids, "wins", r.Wins, "clicks", r.Clicks, "late", r.Late, "errors", r.Errors)
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	text = append(text, '\n')
	if f.Ranking != "" && crowd != nil {
		var rows bytes.Buffer
		if err := errors.Join(crowd.WriteCampaigns(&rows), writeWhole(f.Ranking, rows.Bytes())); err != nil {
			return fmt.Errorf("cannot write the books of the ranking: %w", err)
		}
	}
	if f.Report != "" {
		if err := writeWhole(f.Report, text); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	_, err = out.Write(text)
	return err
}

// newCrowd returns the users of the ranker that the configuration names; nil: it names none.
func newCrowd(c *config) (*shoppers.Crowd, error) {
	if c.Ranking.Ranker == "" {
		return nil, nil
	}
	world, err := newSales(c)
	if err != nil {
		return nil, err
	}
	crowd, err := shoppers.New(c.Ranking, world, writeWhole)
	if err != nil {
		return nil, badConfig{err}
	}
	return crowd, nil
}

// newSales returns the hidden truth of the ranking.
func newSales(c *config) (*sales.World, error) {
	c.Ranking.Seed, c.Ranking.Start = c.Seed, c.Start
	world, err := sales.New(c.Ranking.Options)
	if err != nil {
		return nil, badConfig{err}
	}
	return world, nil
}

// writeWhole makes a file appear whole.
func writeWhole(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// serveStatus answers GET /status, and profiles under /debug/pprof/, until stop is called.
func serveStatus(listen string, e *engine.Engine, log *slog.Logger) (stop func(), err error) {
	if listen == "" {
		return func() {}, nil
	}
	listener, err := process.Listen("status_listen", listen)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the status (choose another --status-listen): %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(e.Status()); err != nil {
			log.Debug("status not written", "error", err)
		}
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("status server ended", "error", err)
		}
	}()
	log.Info("status", "address", listener.Addr().String())
	return func() { server.Close(); <-done }, nil
}
