package classifiers

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"gavel/internal/packed"
)

const (
	magic     = "GAVELCLF"
	layout    = 1
	headBytes = 16
)

// MaxBytes is how long a file may be.
const MaxBytes = headBytes + MaxBody + sha256.Size

var (
	// ErrDamaged is that the bytes are not those that a writer wrote: cut short, changed, or not a classifier file.
	ErrDamaged = errors.New("it is damaged")
	// ErrLayout is that the file has a later layout than this program knows.
	ErrLayout = errors.New("its layout is unknown")
)

// Decode reads a file from its bytes, which may be reused afterwards. Its error wraps ErrDamaged, ErrLayout or ErrContents.
func Decode(data []byte) (*File, error) {
	if len(data) < headBytes+sha256.Size || string(data[:len(magic)]) != magic {
		return nil, fmt.Errorf("classifiers: %w: %d bytes that do not begin as a classifier file", ErrDamaged, len(data))
	}
	if v := binary.LittleEndian.Uint32(data[8:]); v != layout {
		return nil, fmt.Errorf("classifiers: %w: version %d, known is %d", ErrLayout, v, layout)
	}
	n := int64(binary.LittleEndian.Uint32(data[12:]))
	if n > MaxBody || int64(len(data)) != headBytes+n+sha256.Size {
		return nil, fmt.Errorf("classifiers: %w: %d bytes, where the head tells of a body of %d", ErrDamaged, len(data), n)
	}
	body := data[headBytes : headBytes+n]
	if sum := sha256.Sum256(data[:headBytes+n]); !bytes.Equal(sum[:], data[headBytes+n:]) {
		return nil, fmt.Errorf("classifiers: %w: the checksum does not hold", ErrDamaged)
	}
	d := decoder{Reader: packed.NewReader(body), size: len(body), text: string(body)}
	f := d.file()
	if d.Err() == nil && d.Rest() > 0 {
		d.Break("%d bytes follow the map", d.Rest())
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("classifiers: %w: the body's %v", ErrContents, err)
	}
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return f, nil
}

// decoder reads the body. Texts are cut from one copy of it, because a file has thousands.
type decoder struct {
	*packed.Reader
	size   int
	text   string
	values int // read so far, of all features
}

func (d *decoder) file() *File {
	var f File
	d.object("the body", []field{
		{"kind", func(at string) { f.Kind = Kind(d.string(at)) }},
		{"campaign", func(at string) { f.Campaign = d.string(at) }},
		{"version", func(at string) { f.Version = d.natural(at) }},
		{"prior", func(at string) { f.Prior = d.natural(at) }},
		{"trainer", func(at string) { f.Trainer = d.string(at) }},
		{"data", func(at string) {
			b := d.Want(at, packed.Binary).Bytes
			if len(b) != len(f.Data) {
				d.Break("%s has %d bytes, must have %d", at, len(b), len(f.Data))
			}
			copy(f.Data[:], b)
		}},
		{"trained_ms", func(at string) { f.TrainedMs = int64(d.natural(at)) }},
		{"rows", func(at string) { f.Rows = int64(d.natural(at)) }},
		{"positives", func(at string) { f.Positives = int64(d.natural(at)) }},
		{"intercept", func(at string) { f.Intercept = d.Want(at, packed.Float).Float }},
		{"variance", func(at string) { f.Variance = d.Want(at, packed.Float).Float }},
		{"features", func(at string) {
			d.list(at, MaxFeatures, func(at string) { f.Features = append(f.Features, d.feature(at)) })
		}},
		{"golden", func(at string) { f.Golden = d.golden(at) }},
	})
	return &f
}

func (d *decoder) feature(at string) (f Feature) {
	d.object(at, []field{
		{"name", func(at string) { f.Name = d.string(at) }},
		{"of", func(at string) { f.Of = d.strings(at, MaxFields) }},
		{"values", func(at string) {
			f.Values = d.strings(at, MaxValues-d.values)
			d.values += len(f.Values)
		}},
		{"weights", func(at string) { f.Weights = d.floats(at, MaxValues) }},
		{"other", func(at string) { f.Other = d.Want(at, packed.Float).Float }},
	})
	return f
}

func (d *decoder) golden(at string) (g Golden) {
	d.object(at, []field{
		{"fields", func(at string) { g.Fields = d.strings(at, MaxFeatures*MaxFields) }},
		{"profiles", func(at string) {
			g.Profiles = [][]string{}
			d.list(at, MaxGolden, func(at string) { g.Profiles = append(g.Profiles, d.strings(at, MaxFeatures*MaxFields)) })
		}},
		{"probabilities", func(at string) { g.Probabilities = d.floats(at, MaxGolden) }},
	})
	return g
}

// field is a key of a map, and what reads its value.
type field struct {
	key  string
	read func(at string)
}

// object reads a map that has each of the keys once, and no other.
func (d *decoder) object(at string, fields []field) {
	seen := 0
	d.Object(at, func(key string) bool {
		for _, f := range fields {
			if f.key == key {
				seen++ // the Reader refuses a key that comes twice
				f.read(key + " of " + at)
				return true
			}
		}
		return false
	})
	if d.Err() == nil && seen < len(fields) {
		d.Break("%s has %d of its %d keys", at, seen, len(fields))
	}
}

// list reads a list of at most so many elements.
func (d *decoder) list(at string, limit int, element func(at string)) {
	n := d.Want(at, packed.List).N
	if n > limit {
		d.Break("%s has %d elements, must have at most %d", at, n, limit)
	}
	for i := 0; i < n && d.Err() == nil; i++ {
		element(fmt.Sprintf("%s[%d]", at, i))
	}
}

// strings reads a list of texts. Memory grows with what is there, not with what is claimed.
func (d *decoder) strings(at string, limit int) []string {
	n := d.Want(at, packed.List).N
	if n > limit || n > d.Rest() { // each takes a byte at least
		d.Break("%s has %d elements, must have at most %d, and all of them", at, n, limit)
		return nil
	}
	list := make([]string, 0, n)
	for i := 0; i < n && d.Err() == nil; i++ {
		list = append(list, d.string(at))
	}
	return list
}

// string reads a text. File.Validate checks that it is UTF-8, and its length.
func (d *decoder) string(at string) string {
	n := len(d.Want(at, packed.Text).Bytes)
	end := d.size - d.Rest()
	return d.text[end-n : end]
}

// natural reads an integer that is not negative.
func (d *decoder) natural(at string) uint64 {
	n := d.Want(at, packed.Integer).Integer
	if n < 0 {
		d.Break("%s is %d, must not be negative", at, n)
		return 0
	}
	return uint64(n)
}

// floats reads float64s, little endian, from bytes.
func (d *decoder) floats(at string, limit int) []float64 {
	b := d.Want(at, packed.Binary).Bytes
	if len(b)%8 != 0 || len(b)/8 > limit {
		d.Break("%s has %d bytes, must have 8 for each of at most %d numbers", at, len(b), limit)
		return nil
	}
	list := make([]float64, len(b)/8)
	for i := range list {
		list[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return list
}
