package scoring

import (
	"errors"
	"sync"
	"time"

	"gavel/internal/engine"
)

// Together is what one version computes of rows that several versions score at once.
type Together struct {
	Version         *Version        // acquired; the caller releases it afterwards
	Inputs, Outputs []engine.Column // as those of ScoreColumns. Inputs that have one name in several versions hold equal values
	Errs            []error         // as that of ScoreColumns
	Err             error           // set by ScoreTogether: what ScoreColumns would have returned
}

// ScoreTogether scores rows [0,n), n ≥ 1, with the version of each part, no version twice, by the deadline; the zero deadline means
// none. What each part gets is what ScoreColumns gives it, bit for bit.
//
// Versions whose engines join run as one engine, so that what they have in common is computed once for a row. Their engine and its
// queue are made for the second request that names these versions in this order, and kept until one of the versions retires or other
// versions are asked for more recently. All other versions are scored side by side.
func (m *Models) ScoreTogether(parts []Together, n int, deadline time.Time) {
	var joining, alone []*Together
	for i := range parts {
		if _, ok := parts[i].Version.engine.(engine.Joiner); ok {
			joining = append(joining, &parts[i])
		} else {
			alone = append(alone, &parts[i])
		}
	}
	var joined *joined
	if len(joining) > 1 {
		joined = m.joins.take(joining)
	}
	if joined == nil {
		joining, alone = nil, append(alone, joining...)
	}
	var running sync.WaitGroup
	for i, p := range alone {
		if i == len(alone)-1 && joined == nil {
			p.score(n, deadline) // in this goroutine
			break
		}
		running.Go(func() { p.score(n, deadline) })
	}
	if joined != nil {
		joined.score(joining, n, deadline)
		m.joins.give(joined)
	}
	running.Wait()
}

func (p *Together) score(n int, deadline time.Time) {
	p.Err = p.Version.ScoreColumns(p.Inputs, n, deadline, p.Outputs, p.Errs)
}

// scoreRow scores row i alone.
func (p *Together) scoreRow(i int, deadline time.Time) {
	err := p.Version.ScoreColumns(rowOf(p.Inputs, i), 1, deadline, rowOf(p.Outputs, i), p.Errs[i:i+1])
	if p.Err == nil {
		p.Err = err
	}
}

// rowOf is row i of columns.
func rowOf(columns []engine.Column, i int) []engine.Column {
	row := make([]engine.Column, len(columns))
	for k, c := range columns {
		from, to := i*c.Width, (i+1)*c.Width
		row[k] = engine.Column{Type: c.Type, Width: c.Width}
		switch c.Type {
		case engine.Int32:
			row[k].Int32 = c.Int32[from:to]
		case engine.Float32:
			row[k].Float32 = c.Float32[from:to]
		case engine.Float64:
			row[k].Float64 = c.Float64[from:to]
		case engine.Text:
			row[k].Text = c.Text[from:to]
		}
	}
	return row
}

// score scores the rows in one run. Rows that it refuses are scored again by each version, which tells those that refuse them.
func (j *joined) score(parts []*Together, n int, deadline time.Time) {
	var inputs, outputs []engine.Column
	for _, of := range j.inputs {
		inputs = append(inputs, parts[of.part].Inputs[of.column])
	}
	for _, p := range parts {
		outputs = append(outputs, p.Outputs...)
	}
	errs := make([]error, n)
	err := j.version.ScoreColumns(inputs, n, deadline, outputs, errs)
	for i := range errs {
		for _, p := range parts {
			if p.Errs[i] = errs[i]; errors.Is(errs[i], ErrRow) {
				p.scoreRow(i, deadline)
			}
		}
	}
	if err != nil && !errors.Is(err, ErrRow) {
		for _, p := range parts {
			p.Err = err
		}
	}
}
