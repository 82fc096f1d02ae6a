package plan

// #include "operators.h"
import "C"

import (
	"fmt"
	"math/bits"
	"unsafe"
)

// listed are the coefficients of a linear model with one row, without those that are 0: most n-grams of a large dictionary never stood
// in the texts of a small training. Products with sparse rows read them as they lie. Whatever else needs them takes dense().
type listed struct {
	columns      *Object
	values       *Object // 0, the coefficients, the intercept
	first, width int     // the columns that are read
}

// listed is the model of the objects "listed" and "values". What they hold is checked with the node's contents.
func (n *node) listed() *listed {
	w := n.in[0].width
	l := &listed{columns: n.object("listed", Uint64, -1), values: n.object("values", Float64, -1), width: w}
	if !n.in[0].sparse {
		n.fault("input 0 is %v; listed coefficients take sparse float64", n.in[0])
	}
	n.content(l.columns, fmt.Sprintf("listed: %d columns of %s", w, l.values.sum), func() error {
		fault := C.gv_listed_fault((*C.uint64_t)(l.columns.pointer()), C.int64_t(l.columns.dims[0]), C.int64_t(w), doubles(l.values),
			C.int64_t(l.values.dims[0]-1))
		if fault != nil {
			return fmt.Errorf("objects \"listed\" and \"values\" are no coefficients: %s", C.GoString(fault))
		}
		return nil
	})
	return l
}

// cut are the columns [low, high) of them.
func (l *listed) cut(low, high int) *listed {
	return &listed{columns: l.columns, values: l.values, first: l.first + low, width: high - low}
}

// dense is a copy with the zeros.
func (l *listed) dense() []float64 {
	coef, from := make([]float64, l.width), values[float64](l.values)
	for i, word := range values[uint64](l.columns) {
		at := int(word >> 32)
		for left := uint32(word); left != 0; left &= left - 1 {
			if column := 32*i + bits.TrailingZeros32(left) - l.first; column >= 0 && column < l.width {
				coef[column] = from[at]
			}
			at++
		}
	}
	return coef
}

// intercept is where it is, for C.
func (l *listed) intercept() *C.double {
	return (*C.double)(unsafe.Pointer(&values[float64](l.values)[l.values.dims[0]-1]))
}

// fill sets what C reads of the coefficients; for build.
func (l *listed) fill(p *C.gv_matrix_params) {
	p.listed, p.matrix, p.first = (*C.uint64_t)(l.columns.pointer()), doubles(l.values), C.int32_t(l.first)
}
