package plan

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"

	"gavel/internal/engine"
)

// Keys. Two keys say what a stage is, so that equal ones are found across plans:
//
//	form  SHA-256 of the operator, its settings, the checksums of its objects, and the kinds of what it reads and gives. Stages
//	      of one form share their parameters in memory, whatever they read.
//	key   SHA-256 of the form and the keys of what it reads; an input's is that of its name, type and width. Values of one key
//	      hold the same bits, so a run computes them once.
type key [sha256.Size]byte

// String is the key's first bytes in hex, enough to tell keys apart on a page.
func (k key) String() string { return hex.EncodeToString(k[:8]) }

// keyOf is the sum of what was appended.
func keyOf(what []byte) key { return sha256.Sum256(what) }

// inputKey is the key of an input.
func inputKey(f engine.Field) key {
	what := appendText([]byte("input"), f.Name)
	return keyOf(appendKind(what, kind{of: f.Type, width: f.Width}))
}

// valueKey is the key of what a stage of the form gives when it reads values of those keys.
func valueKey(form key, reads []key) key {
	what := append([]byte("value"), form[:]...)
	for _, k := range reads {
		what = append(what, k[:]...)
	}
	return keyOf(what)
}

// formOf is the form of a stage; identity tells its operator with settings and objects.
func formOf(identity []byte, in []kind, out kind) key {
	what := appendText([]byte("form"), string(identity))
	for _, k := range in {
		what = appendKind(what, k)
	}
	return keyOf(appendKind(what, out))
}

// identity is the node's operator with its settings and objects, written so that no two differ and are written alike.
func (n *node) identity() []byte {
	what := appendText(nil, n.op)
	what = binary.LittleEndian.AppendUint32(what, uint32(len(n.set)))
	for _, name := range slices.Sorted(maps.Keys(n.set)) {
		what = appendSetting(appendText(what, name), n.set[name])
	}
	for _, name := range slices.Sorted(maps.Keys(n.obj)) {
		what = appendText(appendText(what, name), n.obj[name])
	}
	return what
}

func appendText(to []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint32(to, uint32(len(text))), text...)
}

func appendKind(to []byte, k kind) []byte {
	sparse := byte(0)
	if k.sparse {
		sparse = 1
	}
	return binary.LittleEndian.AppendUint32(append(to, byte(k.of), sparse), uint32(k.width))
}

func appendSetting(to []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(to, 'n')
	case bool:
		if v {
			return append(to, 't')
		}
		return append(to, 'f')
	case int64:
		return binary.LittleEndian.AppendUint64(append(to, 'i'), uint64(v))
	case float64:
		return binary.LittleEndian.AppendUint64(append(to, 'd'), math.Float64bits(v))
	case string:
		return appendText(append(to, 's'), v)
	case []any:
		to = binary.LittleEndian.AppendUint32(append(to, 'l'), uint32(len(v)))
		for _, element := range v {
			to = appendSetting(to, element)
		}
		return to
	default:
		panic(fmt.Sprintf("plan: a setting is %T", value)) // decode makes none of it
	}
}
