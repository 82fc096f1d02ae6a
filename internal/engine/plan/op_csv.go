package plan

// #include <stdlib.h>
// #include "csv.h"
import "C"

import (
	"unsafe"

	"gavel/internal/engine"
)

func init() {
	add("csv", operator{1, 1, checkCSV})
	add("parse", operator{1, 1, checkParse})
}

// maxFieldsOfLine bounds the fields of a line of CSV.
const maxFieldsOfLine = 1 << 16

func checkCSV(n *node) (kind, build) {
	n.dense(engine.Text)
	n.column()
	separator := n.separator()
	missing, hasMissing := "", !n.null("missing")
	if hasMissing {
		missing = n.text("missing")
	}
	fields := n.integer("fields", 1, maxFieldsOfLine)
	columns := n.integers("columns", -1, 0, fields-1)
	for i := 1; i < len(columns); i++ {
		if columns[i] <= columns[i-1] {
			n.fault("setting \"columns\" does not ascend at %d", i)
			break
		}
	}
	return kind{of: engine.Text, width: len(columns)}, func(m *memory) stage {
		p := params[C.gv_csv_params](m)
		p.columns, p.fields, p.separator = copiedInts(m, columns), C.int32_t(fields), C.uint8_t(separator)
		p.missing, p.missing_length = (*C.uint8_t)(unsafe.Pointer(copied(m, []byte(missing)))), -1
		if hasMissing {
			p.missing_length = C.int32_t(len(missing))
		}
		return stage{unsafe.Pointer(C.gv_csv), unsafe.Pointer(p)}
	}
}

// separator is the setting of that name.
func (n *node) separator() byte {
	text := n.text("separator")
	if len(text) != 1 || text[0] == 0 || text[0] >= 0x80 || text == "\"" || text == "\n" || text == "\r" {
		n.fault("setting \"separator\" is %s, must be one ASCII character, neither a quote nor the end of a line", show(text))
		return ','
	}
	return text[0]
}

func checkParse(n *node) (kind, build) {
	n.dense(engine.Text)
	n.column()
	if n.word("to", "float64", "int32") == "int32" {
		return kind{of: engine.Int32, width: 1}, func(*memory) stage { return stage{run: unsafe.Pointer(C.gv_parse_int32)} }
	}
	return dense(1), func(m *memory) stage {
		p := params[C.gv_parse_params](m)
		locale := C.gv_c_locale()
		if locale == nil {
			panic("plan: out of memory") // as Go's own allocator does
		}
		p.locale = locale
		m.later(func() { C.freelocale(locale) }) // p is no more then
		return stage{unsafe.Pointer(C.gv_parse_float64), unsafe.Pointer(p)}
	}
}
