package plan

import (
	"maps"
	"slices"

	"gavel/internal/engine"
)

// maxPlaces is how many places of a rule are named, at most.
const maxPlaces = 16

// Fired is a rewrite rule that has changed a plan.
type Fired struct {
	Rule   string
	Count  int
	Places []string // in the source, as nodes have them; the first ones, each once
}

// Description is what an engine makes of a plan, and what it shares with others. It is for people.
type Description struct {
	User    string // "ctr version 3"
	Source  string // the model as its library prints it
	Nodes   int    // of the plan as it is written
	Rules   []Fired
	Inputs  []engine.Field
	Outputs []engine.Field
	Gives   []int         // the value of each output: inputs are numbered first, then stages
	Stages  []StageUse    // in the order in which they run
	Objects []ObjectUse   // the largest first
	Memory  MemoryOfModel // of objects and stages
}

// StageUse is a stage of a program.
type StageUse struct {
	Name  string   // `node 7 linear (steps[1] model: LogisticRegression)`
	Op    string   // the operator; "parts" for a linear model that a rewrite took apart
	How   []string // how its parameters were made of objects: "transposed", "table", "folded"; nothing: they are read as they lie
	Reads []int    // numbers of the values that it reads
	Value string   // the kind of its own: "sparse float64[12]"
	Form  string   // stages of one form share their parameters
	Key   string   // values of one key are equal, so that joined plans compute them once
	Bytes int64    // of C memory
	Sums  []string // of its objects
	Users []string // versions that share the stage's parameters, ascending
}

// MemoryOfModel is bytes outside Go's heap: what would be freed with the version, and what others use too.
type MemoryOfModel struct {
	Program              int64 // its own always
	OwnStages, OwnMapped int64
	SharedStages         int64 // of all users together
	SharedMapped         int64
}

// Describe says what was made of the plan, and who shares it now.
func (e *Engine) Describe() *Description {
	p, user := e.program, e.loaded.held.user
	d := &Description{
		User: user, Source: e.source, Nodes: e.nodes, Rules: e.fired, Inputs: e.schema.Inputs, Outputs: e.schema.Outputs,
		Gives: slices.Clone(p.gives), Memory: MemoryOfModel{Program: p.memory.bytes},
	}
	seen := map[*shared]bool{}
	for i, s := range p.steps {
		of := p.stages[i]
		use := StageUse{
			Name: s.name, Op: s.op, How: of.notes, Reads: slices.Clone(s.reads), Value: s.kind.String(), Form: s.form.String(), Key: s.key.String(),
			Bytes: of.bytes, Sums: s.sums, Users: e.objects.stages.users(of),
		}
		d.Stages = append(d.Stages, use)
		switch {
		case seen[of]:
		case len(use.Users) > 1:
			d.Memory.SharedStages += of.bytes
		default:
			d.Memory.OwnStages += of.bytes
		}
		seen[of] = true
	}
	for _, use := range e.objects.Uses() {
		if !slices.Contains(use.Users, user) {
			continue
		}
		d.Objects = append(d.Objects, use)
		if len(use.Users) > 1 {
			d.Memory.SharedMapped += use.Bytes
		} else {
			d.Memory.OwnMapped += use.Bytes
		}
	}
	return d
}

// SharedBy counts, for each other version, the stages of the description that it shares.
func (d *Description) SharedBy() map[string]int {
	by := map[string]int{}
	for _, s := range d.Stages {
		for _, user := range s.Users {
			by[user]++
		}
	}
	maps.DeleteFunc(by, func(user string, _ int) bool { return user == d.User })
	return by
}
