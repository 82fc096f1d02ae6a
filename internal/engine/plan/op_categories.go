package plan

// #include "operators.h"
import "C"

import (
	"fmt"
	"math"
	"unsafe"

	"gavel/internal/engine"
)

func init() {
	add("lookup", operator{1, 1, checkLookup})
	add("expand", operator{1, 1, checkExpand})
	add("gather", operator{1, 1, checkGather})
}

func checkLookup(n *node) (kind, build) {
	n.dense(engine.Text, engine.Float64)
	n.column()
	unknown, refuse := 0.0, n.null("unknown")
	if !refuse {
		unknown = n.float("unknown")
	}
	var of *texts
	var keys *Object
	count := 0
	if n.in[0].of == engine.Text {
		of = n.dictionary("")
		count = of.count
	} else {
		keys = n.object("keys", Float64, -1)
		count = keys.dims[0]
		n.content(keys, "ascending, NaN last", func() error {
			v := values[float64](keys)
			for i := 1; i < len(v); i++ {
				if !(v[i-1] < v[i]) && !(math.IsNaN(v[i]) && !math.IsNaN(v[i-1])) {
					return fmt.Errorf("object \"keys\" does not ascend at %d", i)
				}
			}
			return nil
		})
	}
	codes := n.object("codes", Float64, count)
	return dense(1), func(m *memory) stage {
		p := params[C.gv_lookup_params](m)
		p.codes, p.unknown, p.refuse = doubles(codes), C.double(unknown), flag(refuse)
		if of != nil {
			of.fill(&p.texts)
			return stage{unsafe.Pointer(C.gv_lookup_text), unsafe.Pointer(p)}
		}
		p.keys, p.n = doubles(keys), C.int32_t(count)
		if v := values[float64](keys); count > 0 && math.IsNaN(v[count-1]) {
			p.n, p.nan = C.int32_t(count-1), 1
		}
		return stage{unsafe.Pointer(C.gv_lookup_number), unsafe.Pointer(p)}
	}
}

func checkExpand(n *node) (kind, build) {
	n.dense()
	start := running(n.integers("sizes", n.in[0].width, 0, maxWidth))
	return sparse(start[len(start)-1]), func(m *memory) stage {
		p := params[C.gv_expand_params](m)
		p.start = copiedInts(m, start)
		return stage{unsafe.Pointer(C.gv_expand), unsafe.Pointer(p)}
	}
}

func checkGather(n *node) (kind, build) {
	n.dense()
	n.column()
	table := n.object("table", Float64, -1, -1)
	return dense(table.dims[1]), func(m *memory) stage {
		p := params[C.gv_gather_params](m)
		p.table, p.n = doubles(table), C.int32_t(table.dims[0])
		return stage{unsafe.Pointer(C.gv_gather), unsafe.Pointer(p)}
	}
}
