//go:build tensorflow

package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gavel/internal/engine"
	"gavel/internal/engine/plan"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/models"
	"gavel/internal/recipe"
)

func init() {
	commands["deepfm"] = command{"a version that pytrain learnt against its plan: `driver deepfm SAVEDMODEL PLAN`, directories of versions", deepfm}
}

// An auction of the benchmark has so many candidates, and a batch so many rows.
const (
	auctionRows = 16
	batchRows   = 128
)

// deepfmResult is the answer of deepfm. Times are µs a row, medians of rounds.
type deepfmResult struct {
	RowRatio    float64 `json:"deepfm_row_vs_tensorflow"`   // TensorFlow's time of one row / the plan's
	BatchRatio  float64 `json:"deepfm_batch_vs_tensorflow"` // the same of batchRows
	SharedRatio float64 `json:"shared_context_gain"`        // auctionRows that share nothing / as many that share their context
	Difference  float64 `json:"largest_difference"`         // of probabilities, over all rows

	RowUS    map[string]float64 `json:"row_us"`
	BatchUS  map[string]float64 `json:"batch_us"`
	AloneUS  float64            `json:"alone_us"`
	SharedUS float64            `json:"shared_us"`
	Fields   int                `json:"fields"`
	Shared   int                `json:"shared_fields"`
}

// deepfm measures two versions of one model in turns: TensorFlow and the plan, then candidates that share their context and others.
func deepfm(args []string, l *lines) error {
	flags := flag.NewFlagSet("deepfm", flag.ContinueOnError)
	rounds := flags.Int("rounds", 15, "turns of each side")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 || *rounds < 1 {
		return fmt.Errorf("name a SavedModel version and the plan that `pytrain port` made of it")
	}
	objects := plan.NewObjects(filepath.Join(flags.Arg(1), "..", "..", models.ObjectsDir))
	loaders := engine.Loaders{models.DefaultFormat: tensorflow.Loader(tensorflow.Options{}), models.PlanFormat: plan.Loader(objects, plan.Options{})}
	var engines [2]engine.Engine
	var space *indexSpace
	for i := range engines {
		servable, err := loadAt(loaders, flags.Arg(i))
		if err != nil {
			return err
		}
		defer servable.Release()
		engines[i] = servable.Engine()
		if space, err = spaceOf(servable); err != nil {
			return err
		}
	}
	result := &deepfmResult{Fields: len(space.columns), Shared: len(space.columns) - space.own(), RowUS: map[string]float64{}, BatchUS: map[string]float64{}}
	for _, of := range []struct {
		rows  int
		us    map[string]float64
		ratio *float64
	}{{1, result.RowUS, &result.RowRatio}, {batchRows, result.BatchUS, &result.BatchRatio}} {
		sides := make([]*side, len(engines))
		for i, e := range engines {
			s, err := newSide(e, of.rows, space, 1)
			if err != nil {
				return err
			}
			defer s.batch.Close()
			sides[i] = s
		}
		us, err := inTurns(sides, *rounds)
		if err != nil {
			return err
		}
		of.us["tensorflow"], of.us["plan"], *of.ratio = us[0], us[1], us[0]/us[1]
		by, err := difference(sides)
		if err != nil {
			return err
		}
		result.Difference = max(result.Difference, by)
	}
	var sides []*side
	for _, auction := range []int{1, auctionRows} {
		s, err := newSide(engines[1], auctionRows, space, auction)
		if err != nil {
			return err
		}
		defer s.batch.Close()
		sides = append(sides, s)
	}
	us, err := inTurns(sides, *rounds)
	if err != nil {
		return err
	}
	result.AloneUS, result.SharedUS, result.SharedRatio = us[0], us[1], us[0]/us[1]
	return l.answer(result)
}

// loadAt loads the version <store>/<model>/<number>.
func loadAt(loaders engine.Loaders, directory string) (*models.Servable, error) {
	number, err := strconv.ParseInt(filepath.Base(directory), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is no directory of a version", directory)
	}
	name := filepath.Base(filepath.Dir(directory))
	return models.Load(context.Background(), loaders, directory, name, number, models.LoadOptions{WarmRows: []int{1, batchRows}})
}

// indexSpace is what the rows of a version may hold.
type indexSpace struct {
	columns []column
}

type column struct {
	low, high int32
	candidate bool // it differs between the candidates of an auction
}

// own counts the columns that candidates have of their own.
func (s *indexSpace) own() int {
	n := 0
	for _, c := range s.columns {
		if c.candidate {
			n++
		}
	}
	return n
}

// spaceOf reads a version's recipe: campaign, creative and deal, and crosses with them, are the candidate's.
func spaceOf(s *models.Servable) (*indexSpace, error) {
	r, err := recipe.Decode(s.String(), s.Recipe())
	if err != nil {
		return nil, err
	}
	candidate := map[string]bool{}
	for _, f := range r.Features {
		of, _, _ := strings.Cut(f.Source, ".")
		candidate[f.Name] = slices.Contains([]string{"campaign", "creative", "deal"}, of) || slices.ContainsFunc(f.Of, func(name string) bool { return candidate[name] })
	}
	space := &indexSpace{}
	for _, c := range r.Encoder().Columns() {
		space.columns = append(space.columns, column{c.Low, c.High, candidate[c.Feature]})
	}
	return space, nil
}

// draw makes rows. So many after each other share the columns that are not the candidate's.
func (s *indexSpace) draw(rows, auction int, r *rand.Rand) []int32 {
	width := len(s.columns)
	x := make([]int32, rows*width)
	for i := range rows {
		for f, c := range s.columns {
			if x[i*width+f] = c.low + r.Int32N(c.high-c.low); i%auction > 0 && !c.candidate {
				x[i*width+f] = x[(i-1)*width+f]
			}
		}
	}
	return x
}

// side is one of those that are measured in turns: a batch on an engine, which many different rows go through.
type side struct {
	batch engine.Batch
	rows  int     // of a run
	x     []int32 // sideRows rows
}

// sideRows is how many different rows a side has.
const sideRows = 4096

func newSide(e engine.Engine, rows int, space *indexSpace, auction int) (*side, error) {
	b, err := e.NewBatch(rows)
	if err != nil {
		return nil, err
	}
	return &side{b, rows, space.draw(sideRows, auction, rand.New(rand.NewPCG(1, 2)))}, nil
}

// each runs all rows, and calls after with the outputs of each run.
func (s *side) each(after func(outputs []float32)) error {
	input := s.batch.Inputs()[0]
	for part := range slices.Chunk(s.x, s.rows*input.Width) {
		copy(input.Int32, part)
		if err := s.batch.Run(s.rows); err != nil {
			return err
		}
		after(s.batch.Outputs()[0].Float32)
	}
	return nil
}

// time returns µs a row. TensorFlow runs in the caller's thread, as the plan does.
func (s *side) time() (float64, error) {
	began := time.Now()
	err := s.each(func([]float32) {})
	return us(time.Since(began)) / sideRows, err
}

// outputs are those of all rows.
func (s *side) outputs() ([]float32, error) {
	var all []float32
	err := s.each(func(outputs []float32) { all = append(all, outputs...) })
	return all, err
}

// inTurns measures the sides one after another, so many rounds after a first that does not count, and returns their medians.
func inTurns(sides []*side, rounds int) ([]float64, error) {
	took := make([][]float64, len(sides))
	for round := range rounds + 1 {
		for i, s := range sides {
			us, err := s.time()
			if err != nil {
				return nil, err
			}
			if round > 0 {
				took[i] = append(took[i], us)
			}
		}
	}
	medians := make([]float64, len(sides))
	for i := range took {
		slices.Sort(took[i])
		medians[i] = took[i][rounds/2]
	}
	return medians, nil
}

// difference is the largest between the outputs of two sides.
func difference(sides []*side) (float64, error) {
	a, err := sides[0].outputs()
	if err != nil {
		return 0, err
	}
	b, err := sides[1].outputs()
	if err != nil {
		return 0, err
	}
	worst := 0.0
	for i, p := range a {
		worst = max(worst, math.Abs(float64(p)-float64(b[i])))
	}
	return worst, nil
}
