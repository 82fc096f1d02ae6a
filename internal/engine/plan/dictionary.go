package plan

// #include "dictionary.h"
import "C"

import "fmt"

// texts are a dictionary's three objects.
type texts struct {
	bytes, offsets, table *Object
	count                 int // texts
}

// dictionary is the dictionary of the objects prefix + "bytes", "offsets" and "table". What they hold is checked with the node's
// contents.
func (n *node) dictionary(prefix string) *texts {
	t := &texts{
		bytes:   n.object(prefix+"bytes", Uint8, -1),
		offsets: n.object(prefix+"offsets", Uint32, -1),
		table:   n.object(prefix+"table", Uint64, -1, 2),
	}
	t.count = max(t.offsets.dims[0]-1, 0)
	n.content(t.table, fmt.Sprintf("dictionary of %s, %s", t.bytes.sum, t.offsets.sum), func() error {
		var d C.gv_dictionary
		fault := C.gv_dictionary_init(&d, (*C.uint8_t)(t.bytes.pointer()), C.uint64_t(t.bytes.dims[0]), (*C.uint32_t)(t.offsets.pointer()),
			C.uint64_t(t.offsets.dims[0]), (*C.uint64_t)(t.table.pointer()), C.uint64_t(t.table.dims[0]))
		if fault != nil {
			return fmt.Errorf("objects %q, %q and %q are no dictionary: %s", prefix+"bytes", prefix+"offsets", prefix+"table", C.GoString(fault))
		}
		return nil
	})
	return t
}

// fill sets what C reads of it; for build, which runs only if the dictionary has no fault.
func (t *texts) fill(d *C.gv_dictionary) {
	C.gv_dictionary_fill(d, (*C.uint8_t)(t.bytes.pointer()), (*C.uint32_t)(t.offsets.pointer()), C.uint64_t(t.offsets.dims[0]),
		(*C.uint64_t)(t.table.pointer()), C.uint64_t(t.table.dims[0]))
}
