package plan

// #include "text.h"
import "C"

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
	"unsafe"

	"gavel/internal/engine"
)

func init() {
	add("lower", operator{1, 1, checkLower})
	add("replace_characters", operator{1, 1, checkReplace})
	add("ngrams", operator{1, 1, checkNgrams})
	add("hashing", operator{1, 1, checkHashing})
	add("tfidf", operator{1, 1, checkTfidf})
}

// maxNgram is the longest n-gram, in characters or words.
const maxNgram = 1 << 16

// unicode are the objects of what is known of characters.
type unicode struct {
	blocks, classes, lower, special *Object
}

func (n *node) unicode() *unicode {
	u := &unicode{
		blocks:  n.object("blocks", Uint8, -1),
		classes: n.object("classes", Uint8, -1),
		lower:   n.object("lower", Int32, -1),
		special: n.object("special", Int32, -1, 4),
	}
	n.content(u.classes, fmt.Sprintf("unicode of %s, %s, %s", u.blocks.sum, u.lower.sum, u.special.sum), func() error {
		fault := C.gv_unicode_fault((*C.uint8_t)(u.blocks.pointer()), C.uint64_t(u.blocks.dims[0]), (*C.uint8_t)(u.classes.pointer()),
			C.uint64_t(u.classes.dims[0]), (*C.int32_t)(u.lower.pointer()), C.uint64_t(u.lower.dims[0]), (*C.int32_t)(u.special.pointer()),
			C.uint64_t(u.special.dims[0]))
		if fault != nil {
			return fmt.Errorf("objects \"blocks\", \"classes\", \"lower\" and \"special\" are no Unicode: %s", C.GoString(fault))
		}
		return nil
	})
	return u
}

// fill sets what C reads of it; for build.
func (u *unicode) fill(c *C.gv_unicode) {
	c.blocks = (*C.uint8_t)(u.blocks.pointer())
	c.classes = (*C.uint8_t)(u.classes.pointer())
	c.lower = (*C.int32_t)(u.lower.pointer())
	c.special = (*C.int32_t)(u.special.pointer())
	c.specials = C.int32_t(u.special.dims[0])
}

func checkLower(n *node) (kind, build) {
	n.dense(engine.Text)
	n.column()
	u := n.unicode()
	return kind{of: engine.Text, width: 1}, func(m *memory) stage {
		p := params[C.gv_lower_params](m)
		u.fill(&p.unicode)
		return stage{unsafe.Pointer(C.gv_lower), unsafe.Pointer(p)}
	}
}

// maxReplaced is the longest text that stands for a character, in bytes.
const maxReplaced = 64

func checkReplace(n *node) (kind, build) {
	n.dense(engine.Text)
	n.column()
	blocks, rows := n.object("blocks", Uint8, C.GV_BLOCKS), n.object("rows", Int32, -1)
	bytes, offsets := n.object("bytes", Uint8, -1), n.object("offsets", Uint32, -1)
	if rows.dims[0] == 0 || rows.dims[0]%256 != 0 {
		n.fault("object \"rows\" has %d values, must be blocks of 256", rows.dims[0])
	}
	if offsets.dims[0] == 0 {
		n.fault("object \"offsets\" is empty")
	}
	n.content(blocks, fmt.Sprintf("blocks below %d", rows.dims[0]/256), func() error {
		for i, b := range values[uint8](blocks) {
			if int(b) >= rows.dims[0]/256 {
				return fmt.Errorf("object \"blocks\" names block %d at %d, which is not there", b, i)
			}
		}
		return nil
	})
	n.content(rows, fmt.Sprintf("-1 or row below %d", offsets.dims[0]-1), func() error { return rows.below("rows", -1, offsets.dims[0]-1) })
	n.content(offsets, "texts for characters in "+bytes.sum, func() error { return textsForCharacters(values[uint8](bytes), values[uint32](offsets)) })
	return kind{of: engine.Text, width: 1}, func(m *memory) stage {
		p := params[C.gv_replace_params](m)
		p.blocks, p.rows = (*C.uint8_t)(blocks.pointer()), (*C.int32_t)(rows.pointer())
		p.bytes, p.offsets = (*C.uint8_t)(bytes.pointer()), (*C.uint32_t)(offsets.pointer())
		first := int(values[uint8](blocks)[0]) * 256
		p.ascii_stays = flag(!slices.ContainsFunc(values[int32](rows)[first:first+128], func(row int32) bool { return row >= 0 }))
		return stage{unsafe.Pointer(C.gv_replace_characters), unsafe.Pointer(p)}
	}
}

// textsForCharacters checks the texts that stand for characters.
func textsForCharacters(bytes []uint8, offsets []uint32) error {
	if offsets[0] != 0 || int64(offsets[len(offsets)-1]) != int64(len(bytes)) {
		return errors.New("object \"offsets\" does not begin with 0, or end with the length of \"bytes\"")
	}
	for i := 1; i < len(offsets); i++ {
		if offsets[i] < offsets[i-1] || offsets[i]-offsets[i-1] > maxReplaced {
			return fmt.Errorf("object \"offsets\" descends at %d, or leaves more than %d bytes to a text", i, maxReplaced)
		}
	}
	for i := 1; i < len(offsets); i++ { // offsets are in range now
		if !utf8.Valid(bytes[offsets[i-1]:offsets[i]]) {
			return fmt.Errorf("object \"bytes\" is not UTF-8 in text %d", i-1)
		}
	}
	return nil
}

var analyzers = map[string]C.int32_t{"word": C.GV_WORDS, "char": C.GV_CHARS, "char_wb": C.GV_CHARS_IN_WORDS}

// checkAnalyzer checks what ngrams and hashing share, and returns what fills the parameters of that.
func checkAnalyzer(n *node) (fill func(*memory) *C.gv_ngrams_params) {
	n.dense(engine.Text)
	n.column()
	analyzer := n.word("analyzer", "word", "char", "char_wb")
	low := n.integer("low", 1, maxNgram)
	high := n.integer("high", low, maxNgram)
	binary := n.flag("binary")
	u := n.unicode()
	token, stop := 1, (*texts)(nil)
	if analyzer == "word" {
		token = n.integer("token", 1, 2)
		if n.hasObject("stop_bytes") || n.hasObject("stop_offsets") || n.hasObject("stop_table") {
			stop = n.dictionary("stop_")
		}
	}
	return func(m *memory) *C.gv_ngrams_params {
		p := params[C.gv_ngrams_params](m)
		u.fill(&p.unicode)
		p.analyzer = analyzers[analyzer]
		p.low, p.high, p.token = C.int32_t(low), C.int32_t(high), C.int32_t(token)
		if binary {
			p.binary = 1
		}
		if stop != nil {
			stop.fill(&p.stop)
		}
		return p
	}
}

func checkNgrams(n *node) (kind, build) {
	fill := checkAnalyzer(n)
	terms := n.dictionary("")
	return sparse(terms.count), func(m *memory) stage {
		p := fill(m)
		terms.fill(&p.terms)
		p.width = C.uint32_t(terms.count)
		return stage{unsafe.Pointer(C.gv_ngrams), unsafe.Pointer(p)}
	}
}

func checkHashing(n *node) (kind, build) {
	fill := checkAnalyzer(n)
	width := n.integer("width", 1, maxWidth)
	signs := n.flag("alternate_sign")
	return sparse(width), func(m *memory) stage {
		p := fill(m)
		p.width = C.uint32_t(width)
		p.inverse = C.uint64_t(math.MaxUint64/uint64(width) + 1) // of width 1 it is 0, and so is each column
		if signs {
			p.signs = 1
		}
		return stage{unsafe.Pointer(C.gv_hashing), unsafe.Pointer(p)}
	}
}

func checkTfidf(n *node) (kind, build) {
	n.numbers()
	in := n.in[0]
	if !in.sparse {
		n.fault("input 0 is %v, it takes sparse float64", in)
	}
	sublinear := n.flag("sublinear")
	var idf *Object
	if n.hasObject("idf") {
		idf = n.object("idf", Float64, in.width)
	}
	return sparse(in.width), func(m *memory) stage {
		p := params[C.gv_tfidf_params](m)
		if sublinear {
			p.sublinear = 1
		}
		if idf != nil {
			p.idf = (*C.double)(idf.pointer())
		}
		return stage{unsafe.Pointer(C.gv_tfidf), unsafe.Pointer(p)}
	}
}
