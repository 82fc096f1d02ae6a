package plan

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"gavel/internal/engine"
	"gavel/internal/engine/plan/plantest"
)

// alphabet is a small Unicode: ASCII and Latin-1, U+0130, Greek with the accents before it, and the ideographic space.
func alphabet(change func(classes []uint8, lower, special []int32)) tensors {
	blocks := make([]uint8, 4352)
	blocks[0], blocks[1], blocks[3], blocks[0x30] = 1, 2, 3, 4
	classes, lower := make([]uint8, 5*256), make([]int32, 5*256)
	set := func(first, last rune, class uint8, by int32) {
		for c := first; c <= last; c++ {
			at := int(blocks[c>>8])<<8 | int(c&255)
			classes[at], lower[at] = class, by
		}
	}
	const word, space, cased, ignorable, special = 1, 2, 4, 8, 16
	set('0', '9', word, 0)
	set('_', '_', word, 0)
	set('A', 'Z', word|cased, 32)
	set('a', 'z', word|cased, 0)
	set('\t', '\r', space, 0)
	set(0x1c, 0x1f, space, 0)
	set(' ', ' ', space, 0)
	set('\'', '\'', ignorable, 0)
	set('À', 'Þ', word|cased, 32)
	set('ß', 'ÿ', word|cased, 0)
	set('İ', 'İ', word|cased|special, 0)
	set(0x300, 0x36F, ignorable, 0)
	set('Α', 'Ω', word|cased, 32)
	set('α', 'ω', word|cased, 0)
	set(0x3000, 0x3000, space, 0)
	dotted := []int32{'İ', 'i', 0x307, 0}
	if change != nil {
		change(classes, lower, dotted)
	}
	return tensors{"blocks": plantest.Of(blocks), "classes": plantest.Of(classes), "lower": plantest.Of(lower), "special": plantest.Of(dotted, 1, 4)}
}

// with joins objects; those of later maps are named by the prefix.
func with(objects tensors, prefix string, more tensors) tensors {
	all := maps.Clone(objects)
	for name, o := range more {
		all[prefix+name] = o
	}
	return all
}

func TestLower(t *testing.T) {
	words := []string{"", "abc xyz09", "àþß", "i\u0307", "σ", "ας", "ας ας", "ασα", "α'ς'", "ας\u0301.", "'σ", "ας\u3000b"}
	obj := dictionary(words...)
	codes := make([]float64, len(words))
	for i := range codes {
		codes[i] = float64(i)
	}
	obj["codes"] = plantest.Of(codes)
	s := &sketch{}
	text := s.node("lower", nil, alphabet(nil), s.input(engine.Text, 1))
	s.output(s.node("lookup", map[string]any{"unknown": -1.0}, obj, text))
	upper := []string{"", "ABC xyz09", "ÀÞß", "İ", "Σ", "ΑΣ", "ΑΣ ΑΣ", "ΑΣΑ", "Α'Σ'", "ΑΣ\u0301.", "'Σ", "ΑΣ\u3000B"}
	got, refused := s.open(t, 64).score([]any{append(slices.Clone(upper), "\xFF")}, len(words)+1)
	if !slices.Equal(refused, []int{len(words)}) {
		t.Errorf("rows %v are refused, want the missing text", refused)
	}
	if !slices.Equal(got[0][:len(words)], codes) {
		t.Errorf("got the texts %v", got[0][:len(words)])
	}
}

// replacements are some texts for characters: é by e, ß by ss, the acute accent by nothing, 🙂 by ☺.
func replacements() tensors {
	blocks := make([]uint8, 4352)
	blocks[0], blocks[3], blocks[0x1F6] = 1, 2, 3
	rows := slices.Repeat([]int32{-1}, 4*256)
	rows[256+'é'], rows[256+'ß'], rows[2*256+1], rows[3*256+0x42] = 0, 1, 2, 3
	return tensors{"blocks": plantest.Of(blocks), "rows": plantest.Of(rows), "bytes": plantest.Of([]uint8("ess☺")), "offsets": plantest.Of([]uint32{0, 1, 3, 3, 6})}
}

func TestReplaceCharacters(t *testing.T) {
	want := []string{"", "abc", "e", "Straße"[:4] + "sse", "a e", "☺☺ i", "日本"}
	obj := dictionary(want...)
	codes := make([]float64, len(want))
	for i := range codes {
		codes[i] = float64(i)
	}
	obj["codes"] = plantest.Of(codes)
	s := &sketch{}
	text := s.node("replace_characters", nil, replacements(), s.input(engine.Text, 1))
	s.output(s.node("lookup", map[string]any{"unknown": -1.0}, obj, text))
	given := []string{"", "abc", "é", "Straße", "a\u0301 é\u0301", "🙂☺ i", "日本"}
	got, refused := s.open(t, 64).score([]any{append(slices.Clone(given), "\xFF")}, len(given)+1)
	if !slices.Equal(refused, []int{len(given)}) {
		t.Errorf("rows %v are refused, want the missing text", refused)
	}
	if !slices.Equal(got[0][:len(given)], codes) {
		t.Errorf("got the texts %v", got[0][:len(given)])
	}
}

func TestReplaceCharactersIsRefused(t *testing.T) {
	text := kind{of: engine.Text, width: 1}
	f := func(object string, o plantest.Tensor, words ...string) {
		t.Helper()
		obj := replacements()
		obj[object] = o
		refused(t, "replace_characters", nil, obj, text, append(words, object)...)
	}
	f("blocks", plantest.Of(slices.Repeat([]uint8{4}, 4352)), "block 4 at 0", "not there")
	f("blocks", plantest.Of(make([]uint8, 4351)), "[4352]")
	f("rows", plantest.Of(make([]int32, 1023)), "blocks of 256")
	f("rows", plantest.Of(slices.Repeat([]int32{4}, 1024)), "holds 4")
	f("rows", plantest.Of(slices.Repeat([]int32{-2}, 1024)), "holds -2")
	f("offsets", plantest.Of([]uint32{0, 1, 3, 3, 5}), "length of")
	f("offsets", plantest.Of([]uint32{0, 3, 1, 3, 6}), "descends at 2")
	f("bytes", plantest.Of([]uint8("ess\xe2\x98a")), "not UTF-8 in text 3")
	f("offsets", plantest.Of([]uint32{}), "empty")
	long := replacements()
	long["bytes"], long["offsets"] = plantest.Of(make([]uint8, 65)), plantest.Of([]uint32{0, 0, 0, 0, 65})
	refused(t, "replace_characters", nil, long, text, "more than 64 bytes")
}

// counted is a node of text and one text's row.
type counted struct {
	op   string
	set  map[string]any
	obj  tensors
	text string
	want []float64
}

func TestNgrams(t *testing.T) {
	word := func(low, high, token int) map[string]any {
		return map[string]any{"analyzer": "word", "low": low, "high": high, "token": token, "binary": false}
	}
	chars := func(analyzer string, low, high int, binary bool) map[string]any {
		return map[string]any{"analyzer": analyzer, "low": low, "high": high, "binary": binary}
	}
	grams := func(texts ...string) tensors { return with(alphabet(nil), "", dictionary(texts...)) }
	stop := with(grams("a", "b", "a b"), "stop_", dictionary("the", "B"))
	for _, c := range []counted{
		{"ngrams", word(1, 1, 2), grams("a", "ab", "ba"), "a ab,ab ba_ ba", []float64{0, 2, 1}},
		{"ngrams", word(1, 2, 1), grams("a", "a b", "b a", "αß"), "a b a-αß a", []float64{3, 1, 1, 1}},
		{"ngrams", word(2, 3, 1), grams("a b", "a long word", "b"), "a b  a,long word", []float64{1, 1, 0}},
		{"ngrams", word(1, 2, 1), stop, "a the b B the a b", []float64{2, 2, 2}},
		{"ngrams", chars("char", 1, 2, false), grams(" ", "a", "a ", "\t", "\ta"), "a \n a\ta", []float64{1, 3, 1, 1, 1}},
		{"ngrams", chars("char", 1, 2, true), grams(" ", "a", "a ", "\t", "\ta"), "a \n a\ta", []float64{1, 1, 1, 1, 1}},
		{"ngrams", chars("char", 1, 2, false), grams("α", "αβ", " ", "\u3000"), "αβαβ\u3000\u3000α\u3000", []float64{3, 2, 1, 1}},
		{"ngrams", chars("char", 8, 9, false), grams("abcdefgh", "bcdefghi", "abcdefghi"), "abcdefghi abcdefgh", []float64{2, 1, 1}},
		{"ngrams", chars("char", 3, 9, false), grams("ab", "abc"), "ab", []float64{0, 0}},
		{"ngrams", chars("char_wb", 3, 9, false), grams(" a ", " ab", " ab ", "a"), "a\t ab\u3000a", []float64{2, 1, 1, 0}},
		{"ngrams", chars("char_wb", 1, 2, false), grams(" ", "a", " a", "aa"), " aa ", []float64{2, 2, 1, 1}},
		{"hashing", hashed(word(1, 1, 2), 4, true), alphabet(nil), "dog cat snake snake", []float64{0, -1, 0, -1}},
		{"hashing", hashed(word(1, 1, 2), 4, false), alphabet(nil), "dog cat snake snake", []float64{0, 1, 0, 3}},
		{"hashing", hashed(word(1, 1, 2), 1, true), alphabet(nil), "dog cat snake snake", []float64{-2}},
		{"hashing", hashed(word(1, 1, 2), 1, true), alphabet(nil), "", []float64{0}},
	} {
		s := &sketch{}
		s.output(s.node("dense", nil, nil, s.node(c.op, c.set, c.obj, s.input(engine.Text, 1))))
		texts := []string{c.text, "\xFF", "", c.text}
		got, refused := s.open(t, 4).score([]any{texts}, 4)
		if !slices.Equal(refused, []int{1}) {
			t.Errorf("%s %v: rows %v are refused, want the missing text", c.op, c.set, refused)
		}
		w := len(c.want)
		for _, row := range []int{0, 3} {
			if !slices.Equal(got[0][row*w:(row+1)*w], c.want) {
				t.Errorf("%s %v of %q: got %v, want %v", c.op, c.set, c.text, got[0][row*w:(row+1)*w], c.want)
			}
		}
		if empty := got[0][2*w : 3*w]; slices.Max(empty) != 0 || slices.Min(empty) != 0 {
			t.Errorf("%s %v of no text: got %v", c.op, c.set, empty)
		}
	}
}

// hashed adds the settings of hashing.
func hashed(set map[string]any, width int, signs bool) map[string]any {
	set["width"], set["alternate_sign"] = width, signs
	return set
}

func TestTfidf(t *testing.T) {
	f := func(sublinear bool, idf []float64, x, want []float64) {
		t.Helper()
		obj := tensors{}
		if idf != nil {
			obj["idf"] = plantest.Of(idf)
		}
		s := &sketch{}
		in := s.sparse(s.input(engine.Float64, 3), 3)
		s.output(s.node("dense", nil, nil, s.node("tfidf", map[string]any{"sublinear": sublinear}, obj, in)))
		if got, _ := s.open(t, 1).score([]any{x}, 1); !slices.Equal(got[0], want) {
			t.Errorf("got %v, want %v", got[0], want)
		}
	}
	f(false, []float64{2, 3, 0.5}, []float64{1, 0, -4}, []float64{2, 0, -2})
	f(true, nil, []float64{1, 0, 5}, []float64{1, 0, math.Log(5) + 1})
	f(true, []float64{2, 3, 0.5}, []float64{0, 1, 2}, []float64{0, 3, (math.Log(2) + 1) * 0.5})
}

func TestTextIsRefused(t *testing.T) {
	text := kind{of: engine.Text, width: 1}
	word := func(more ...any) map[string]any {
		set := map[string]any{"analyzer": "word", "low": 1, "high": 1, "token": 2, "binary": false}
		for i := 0; i < len(more); i += 2 {
			set[more[i].(string)] = more[i+1]
		}
		return set
	}
	terms := with(alphabet(nil), "", dictionary("a"))
	refused(t, "ngrams", word("analyzer", "line"), terms, text, "analyzer", "char_wb")
	refused(t, "ngrams", word("low", 0), terms, text, "low", "in [1, 65536]")
	refused(t, "ngrams", word("low", 3, "high", 2), terms, text, "high", "in [3, 65536]")
	refused(t, "ngrams", word("token", 3), terms, text, "token", "in [1, 2]")
	refused(t, "ngrams", word("width", 3), terms, text, "width", "unknown")
	refused(t, "ngrams", word("analyzer", "char"), terms, text, "token", "unknown")
	refused(t, "ngrams", word(), terms, dense(1), "it takes dense [text]")
	refused(t, "ngrams", word(), alphabet(nil), text, "bytes", "offsets", "table", "missing")
	refused(t, "ngrams", word(), with(alphabet(nil), "", dictionary()), text, "ngrams")
	refused(t, "ngrams", word(), with(terms, "stop_", tensors{"bytes": plantest.Of([]uint8{1})}), text, "stop_offsets", "missing")
	refused(t, "hashing", word("width", 1<<24+1, "alternate_sign", true), alphabet(nil), text, "width", "16777216")
	refused(t, "hashing", word("width", 0, "alternate_sign", true), alphabet(nil), text, "width")
	refused(t, "tfidf", map[string]any{"sublinear": true}, nil, dense(2), "it takes sparse")
	refused(t, "tfidf", map[string]any{"sublinear": true}, tensors{"idf": plantest.Of([]float64{1})}, sparse(2), "idf")

	lower := func(words string, change func(classes []uint8, lower, special []int32)) {
		t.Helper()
		refused(t, "lower", nil, alphabet(change), text, append([]string{"no Unicode"}, strings.Split(words, "|")...)...)
	}
	lower("ASCII", func(c []uint8, l, s []int32) { c[256+'a'] = 4 })
	lower("ASCII", func(c []uint8, l, s []int32) { l[256+'A'] = 31 })
	lower("leads to no character", func(c []uint8, l, s []int32) { l[3*256+0x91] = 1 << 30 })
	lower("leads to no character", func(c []uint8, l, s []int32) { l[3*256+0x91] = -0x392 })
	lower("leads to no character", func(c []uint8, l, s []int32) { l[3*256+0x91] = 0xD800 - 0x391 })
	lower("classes does not send there", func(c []uint8, l, s []int32) { s[0] = 0x131 })
	lower("sends a character to special", func(c []uint8, l, s []int32) { c[256+0xFF] |= 16 })
	lower("no character", func(c []uint8, l, s []int32) { s[1] = 0x110000 })
	lower("too long", func(c []uint8, l, s []int32) { s[1], s[2] = 0x10000, 0x10000 })
	short := alphabet(nil)
	short["blocks"] = plantest.Of(make([]uint8, 4351))
	refused(t, "lower", nil, short, text, "4352")
	beyond := alphabet(nil)
	blocks := make([]uint8, 4352)
	blocks[4351] = 5
	beyond["blocks"] = plantest.Of(blocks)
	refused(t, "lower", nil, beyond, text, "a block that is not there")
	uneven := alphabet(nil)
	uneven["classes"] = plantest.Of(make([]uint8, 1281))
	refused(t, "lower", nil, uneven, text, "blocks of 256")
}
