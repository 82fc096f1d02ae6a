package predict

import (
	"fmt"
	"math"

	"gavel/internal/engine"
)

var (
	nan64 = math.NaN()
	nan32 = float32(nan64)
)

// datatype is a type of values as the Open Inference Protocol names it. native means the column's own.
type datatype uint8

const (
	native datatype = iota
	typeBYTES
	typeFP64
	typeFP32
	typeINT32
	typeINT64
	datatypes
)

var datatypeNames = [datatypes]string{"", "BYTES", "FP64", "FP32", "INT32", "INT64"}

// sizes are the bytes of a value in binary; 0 where values have no fixed size.
var datatypeSizes = [datatypes]int{0, 0, 8, 4, 4, 8}

func (d datatype) String() string { return datatypeNames[d] }

// datatypeOf returns the type with that name; native if it is none that a column takes.
func datatypeOf(name string) datatype {
	for d := typeBYTES; d < datatypes; d++ {
		if datatypeNames[d] == name {
			return d
		}
	}
	return native
}

// wire is the protocol's own type for a column.
func wire(of engine.Type) datatype {
	switch of {
	case engine.Int32:
		return typeINT32
	case engine.Float32:
		return typeFP32
	case engine.Float64:
		return typeFP64
	default:
		return typeBYTES
	}
}

// takes are the types whose values a column may be given as: all that it can hold, or refuse one by one, without rounding.
func takes(of engine.Type) []datatype {
	switch of {
	case engine.Int32:
		return []datatype{typeINT32, typeINT64}
	case engine.Float32:
		return []datatype{typeFP32, typeINT32, typeINT64}
	case engine.Float64:
		return []datatype{typeFP64, typeFP32, typeINT32, typeINT64}
	default:
		return []datatype{typeBYTES}
	}
}

// accepted describes the values that a column takes where they are written as the type as.
func accepted(of engine.Type, as datatype) string {
	if as == native {
		as = wire(of)
	}
	what := ""
	switch {
	case of == engine.Text:
		return "a text or null"
	case as == typeINT32 || of == engine.Int32:
		what = fmt.Sprintf("a whole number from %d to %d", math.MinInt32, math.MaxInt32)
	case as == typeINT64 && of == engine.Float32:
		what = fmt.Sprintf("a whole number from %d to %d, which float32 holds exactly,", -1<<24, 1<<24)
	case as == typeINT64:
		what = fmt.Sprintf("a whole number from %d to %d, which float64 holds exactly,", -1<<53, 1<<53)
	case as == typeFP32:
		what = "a number that float32 holds"
	default:
		what = "a number that float64 holds"
	}
	if mayMiss(of) {
		what += " or null"
	}
	return what
}
