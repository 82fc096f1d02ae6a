package classifiers

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Encode returns the bytes of a file, after Validate. Equal files have equal bytes.
func Encode(f *File) ([]byte, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	b := make([]byte, headBytes, 4096)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], layout)

	b = appendMap(b, 13)
	b = appendText(appendText(b, "kind"), string(f.Kind))
	b = appendText(appendText(b, "campaign"), f.Campaign)
	b = appendNatural(appendText(b, "version"), f.Version)
	b = appendNatural(appendText(b, "prior"), f.Prior)
	b = appendText(appendText(b, "trainer"), f.Trainer)
	b = append(appendBinary(appendText(b, "data"), len(f.Data)), f.Data[:]...)
	b = appendNatural(appendText(b, "trained_ms"), uint64(f.TrainedMs))
	b = appendNatural(appendText(b, "rows"), uint64(f.Rows))
	b = appendNatural(appendText(b, "positives"), uint64(f.Positives))
	b = appendFloat(appendText(b, "intercept"), f.Intercept)
	b = appendFloat(appendText(b, "variance"), f.Variance)
	b = appendList(appendText(b, "features"), len(f.Features))
	for i := range f.Features {
		feature := &f.Features[i]
		b = appendMap(b, 5)
		b = appendText(appendText(b, "name"), feature.Name)
		b = appendTexts(appendText(b, "of"), feature.Of)
		b = appendTexts(appendText(b, "values"), feature.Values)
		b = appendFloats(appendText(b, "weights"), feature.Weights)
		b = appendFloat(appendText(b, "other"), feature.Other)
	}
	b = appendMap(appendText(b, "golden"), 3)
	b = appendTexts(appendText(b, "fields"), f.Golden.Fields)
	b = appendList(appendText(b, "profiles"), len(f.Golden.Profiles))
	for _, values := range f.Golden.Profiles {
		b = appendTexts(b, values)
	}
	b = appendFloats(appendText(b, "probabilities"), f.Golden.Probabilities)

	n := len(b) - headBytes
	if n > MaxBody {
		return nil, fmt.Errorf("classifiers: cannot write %d bytes, at most %d: train with fewer values", n, MaxBody)
	}
	binary.LittleEndian.PutUint32(b[12:], uint32(n))
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// What follows appends msgpack in its shortest forms.

func appendMap(b []byte, n int) []byte { return append(b, 0x80|byte(n)) } // n < 16

func appendList(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendText(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, s...)
}

func appendBinary(b []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
}

func appendNatural(b []byte, n uint64) []byte {
	switch {
	case n < 128:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(v))
}

func appendTexts(b []byte, list []string) []byte {
	b = appendList(b, len(list))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func appendFloats(b []byte, list []float64) []byte {
	b = appendBinary(b, 8*len(list))
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}
