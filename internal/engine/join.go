package engine

import (
	"errors"
	"fmt"
)

// Joining. Engines of one kind that have parts in common join into one engine, which scores a row by all of them and does what they
// have in common once:
//
//	ctr  ──┐ inputs: all of theirs, by name          one row ──► Run ──► ctr/probability, cvr/probability
//	cvr  ──┴─► Join ──► Joined, an Engine            refused by cvr alone: RowError{Outputs: those of cvr}
//
// The results are, bit for bit, those of each engine alone.

// Member is an engine that joins others, under a name that no other member has.
type Member struct {
	Name   string // of the model, say; it begins the names of the member's outputs: "ctr/probability"
	Engine Engine
}

// Joiner is what an Engine implements that can join others of its kind.
type Joiner interface {
	Engine
	// Join makes one engine of the members, of which the receiver is the first. The error wraps ErrJoin. The caller closes
	// the engine; it does not need the members any more: those may be closed before it, or after.
	Join(members []Member) (Joined, error)
}

// Joined is an engine made of several.
//
// A row that some members refuse fails for these: the *RowErrors of a run have one RowError for each such member, whose Outputs
// are the member's. The outputs of the other members hold.
type Joined interface {
	Engine
	// Parts are the members, in the order in which they joined. It is read-only.
	Parts() []Part
}

// Part is a member of a joined engine.
type Part struct {
	Name    string
	Inputs  []int // the columns of its schema's inputs, in that order, among the inputs of the joined engine
	Outputs Span  // the columns of its schema's outputs, in that order, among the outputs of the joined engine
}

// Span is the columns From to To − 1.
type Span struct{ From, To int }

// ErrJoin: engines cannot be joined, because of their kinds, names or types.
var ErrJoin = errors.New("engine: the models cannot be joined")

// Join makes one engine of the members. It returns ErrJoin if one of them cannot be joined at all, or not with the others.
func Join(members []Member) (Joined, error) {
	if len(members) == 0 {
		return nil, fmt.Errorf("%w: there are none", ErrJoin)
	}
	names := map[string]bool{}
	for _, m := range members {
		if m.Name == "" || names[m.Name] {
			return nil, fmt.Errorf("%w: the name %q is empty or stands twice", ErrJoin, m.Name)
		}
		names[m.Name] = true
		if _, ok := m.Engine.(Joiner); !ok {
			return nil, fmt.Errorf("%w: the engine of %s joins no others", ErrJoin, m.Name)
		}
	}
	return members[0].Engine.(Joiner).Join(members)
}
