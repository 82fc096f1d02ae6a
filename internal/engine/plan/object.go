package plan

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"
)

// ObjectType is the type of an object's values, as its header has it.
type ObjectType uint32

// The types of objects.
const (
	Uint8 ObjectType = iota + 1
	Int32
	Uint32
	Int64
	Uint64
	Float32
	Float64
)

var objectTypes = [...]struct {
	name string
	size int
}{Uint8: {"uint8", 1}, Int32: {"int32", 4}, Uint32: {"uint32", 4}, Int64: {"int64", 8}, Uint64: {"uint64", 8}, Float32: {"float32", 4}, Float64: {"float64", 8}}

// String is "float64".
func (t ObjectType) String() string {
	if t < Uint8 || t > Float64 {
		return fmt.Sprintf("type %d", uint32(t))
	}
	return objectTypes[t].name
}

// Object is a parameter: a tensor in a file that is mapped for reading. Its values may be read as long as its user holds it.
type Object struct {
	sum  string // sha256 of the file, in hex
	of   ObjectType
	dims []int
	data []byte // the values, in the mapping

	mu      sync.Mutex // guards checked
	checked map[string]error
}

// String is "float64[10, -]", with - for any dimension.
func (o *Object) String() string {
	dims := make([]string, len(o.dims))
	for i, d := range o.dims {
		if dims[i] = fmt.Sprint(d); d < 0 {
			dims[i] = "-"
		}
	}
	return fmt.Sprintf("%v[%s]", o.of, strings.Join(dims, ", "))
}

// once calls check for the first time that it is asked for the role, and returns what it said then.
func (o *Object) once(role string, check func() error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err, ok := o.checked[role]
	if !ok {
		if err = check(); o.checked == nil {
			o.checked = map[string]error{}
		}
		o.checked[role] = err
	}
	return err
}

// pointer is where the values are, for C; aligned to GV_ALIGN.
func (o *Object) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(o.data)) }

// values are the object's values, which may only be read. T must be of the object's type.
func values[T uint8 | int32 | uint32 | int64 | uint64 | float32 | float64](o *Object) []T {
	var t T
	return unsafe.Slice((*T)(o.pointer()), len(o.data)/int(unsafe.Sizeof(t)))
}

// below returns an error unless each value of an int32 object is in [low, high).
func (o *Object) below(name string, low, high int) error {
	for i, v := range values[int32](o) {
		if int(v) < low || int(v) >= high {
			return fmt.Errorf("object %q holds %d at %d, must be in [%d, %d)", name, v, i, low, high)
		}
	}
	return nil
}
