package classifiers

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"gavel/internal/packed"
)

// Encode returns the bytes of a file, after Validate. Equal files have equal bytes.
func Encode(f *File) ([]byte, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	b := make([]byte, headBytes, 4096)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], layout)

	b = packed.AppendMap(b, 13)
	b = packed.AppendText(packed.AppendText(b, "kind"), string(f.Kind))
	b = packed.AppendText(packed.AppendText(b, "campaign"), f.Campaign)
	b = packed.AppendNatural(packed.AppendText(b, "version"), f.Version)
	b = packed.AppendNatural(packed.AppendText(b, "prior"), f.Prior)
	b = packed.AppendText(packed.AppendText(b, "trainer"), f.Trainer)
	b = append(packed.AppendBinary(packed.AppendText(b, "data"), len(f.Data)), f.Data[:]...)
	b = packed.AppendNatural(packed.AppendText(b, "trained_ms"), uint64(f.TrainedMs))
	b = packed.AppendNatural(packed.AppendText(b, "rows"), uint64(f.Rows))
	b = packed.AppendNatural(packed.AppendText(b, "positives"), uint64(f.Positives))
	b = packed.AppendFloat64(packed.AppendText(b, "intercept"), f.Intercept)
	b = packed.AppendFloat64(packed.AppendText(b, "variance"), f.Variance)
	b = packed.AppendList(packed.AppendText(b, "features"), len(f.Features))
	for i := range f.Features {
		feature := &f.Features[i]
		b = packed.AppendMap(b, 5)
		b = packed.AppendText(packed.AppendText(b, "name"), feature.Name)
		b = packed.AppendTexts(packed.AppendText(b, "of"), feature.Of)
		b = packed.AppendTexts(packed.AppendText(b, "values"), feature.Values)
		b = appendFloats(packed.AppendText(b, "weights"), feature.Weights)
		b = packed.AppendFloat64(packed.AppendText(b, "other"), feature.Other)
	}
	b = packed.AppendMap(packed.AppendText(b, "golden"), 3)
	b = packed.AppendTexts(packed.AppendText(b, "fields"), f.Golden.Fields)
	b = packed.AppendList(packed.AppendText(b, "profiles"), len(f.Golden.Profiles))
	for _, values := range f.Golden.Profiles {
		b = packed.AppendTexts(b, values)
	}
	b = appendFloats(packed.AppendText(b, "probabilities"), f.Golden.Probabilities)

	n := len(b) - headBytes
	if n > MaxBody {
		return nil, fmt.Errorf("classifiers: cannot write %d bytes, at most %d: train with fewer values", n, MaxBody)
	}
	binary.LittleEndian.PutUint32(b[12:], uint32(n))
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

func appendFloats(b []byte, list []float64) []byte {
	b = packed.AppendBinary(b, 8*len(list))
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}
