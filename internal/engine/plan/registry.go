package plan

/*
#cgo CFLAGS: -O3 -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror
#cgo LDFLAGS: -lm
#include "plan.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"gavel/internal/engine"
)

// Operators. Each op of docs/plan-format.md is one operator value, added to the registry by the file of its group, as
// op_structure.go. The group's C files hold the run functions, and a header the structs of their parameters.
//
// The life of a node:
//
//	decoded ──► operator.check: settings, objects, inputs ──► kind of its value ──► contents of objects ──► build ──► C stage
//	                    └──────── faults: the plan is refused, with all of them ────────────┘
//
// check must see to it that C can run whatever it lets through. C trusts every number that it is given.

// operator is what the engine knows of an op.
type operator struct {
	least, most int // how many values a node reads
	// check reads the node's settings and objects, and says what its value is and how its stage is built. It reports each
	// fault to the node; after one, what it returns is ignored. A setting or object that it does not ask for is a fault too.
	check func(n *node) (kind, build)
}

// build makes the stage of a node. It is called only if the whole plan has no fault, and cannot fail.
type build func(m *memory) stage

// kind is what a value is.
type kind struct {
	of     engine.Type
	width  int // values a row, at least 1
	sparse bool
}

// String is "sparse float64[12]".
func (k kind) String() string {
	sparse := ""
	if k.sparse {
		sparse = "sparse "
	}
	return fmt.Sprintf("%s%v[%d]", sparse, k.of, k.width)
}

// dense is the kind of dense float64 of a width.
func dense(width int) kind { return kind{of: engine.Float64, width: width} }

// sparse is the kind of sparse float64 of a width.
func sparse(width int) kind { return kind{of: engine.Float64, width: width, sparse: true} }

// stage is the run function, as unsafe.Pointer(C.gv_concat), and its parameters in C memory, nil if it takes none.
type stage struct {
	run, params unsafe.Pointer
}

// operators are all there are, by the op's name.
var operators = map[string]operator{}

// add makes an operator known; for init functions.
func add(op string, o operator) {
	if _, ok := operators[op]; ok {
		panic(fmt.Sprintf("plan: operator %q is added twice", op))
	}
	operators[op] = o
}
