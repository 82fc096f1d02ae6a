package tensorflow

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"gavel/internal/engine"
)

// TensorFlow's DataType numbers that occur here.
const (
	dtFloat = 1
	dtInt32 = 3
)

// tensorInfo is a TensorInfo message.
type tensorInfo struct {
	name  string
	dtype uint64
	shape []int64 // nil: rank unknown
}

func (t tensorInfo) String() string {
	dtype := map[uint64]string{dtFloat: "float32", 2: "float64", dtInt32: "int32", 7: "string", 9: "int64"}[t.dtype]
	if dtype == "" {
		dtype = fmt.Sprintf("type %d", t.dtype)
	}
	if t.shape == nil {
		return dtype + " of unknown rank"
	}
	dims := make([]string, len(t.shape))
	for i, d := range t.shape {
		if dims[i] = fmt.Sprint(d); d < 0 {
			dims[i] = "?"
		}
	}
	return dtype + "[" + strings.Join(dims, ", ") + "]"
}

// signatureDef is a SignatureDef message.
type signatureDef struct{ inputs, outputs map[string]tensorInfo }

// checkSignature finds the version's signature in a serialised MetaGraphDef and compares the two. The error joins every
// difference.
func checkSignature(meta []byte, v *engine.Version) (engine.Signature, error) {
	defs, err := parseSignatures(meta)
	if err != nil {
		return engine.Signature{}, fmt.Errorf("cannot read the signatures of saved_model.pb: %w", err)
	}
	want := v.Signature
	def, ok := defs[want.Name]
	if !ok {
		return engine.Signature{}, fmt.Errorf("saved_model.pb has no signature %q, it has %q", want.Name, slices.Sorted(maps.Keys(defs)))
	}
	var faults []error
	check := func(kind, key, tensor string, infos map[string]tensorInfo, dtype uint64, shape []int64) {
		info, ok := infos[key]
		if !ok || len(infos) != 1 {
			faults = append(faults, fmt.Errorf("signature %q has the %ss %q, the manifest says %q alone",
				want.Name, kind, slices.Sorted(maps.Keys(infos)), key))
			return
		}
		if wanted := (tensorInfo{dtype: dtype, shape: shape}); info.dtype != dtype || !slices.Equal(info.shape, shape) {
			faults = append(faults, fmt.Errorf("%s %q is %v, by the manifest it is %v", kind, key, info, wanted))
		}
		if info.name != tensor {
			faults = append(faults, fmt.Errorf("%s %q is tensor %q, the manifest says %q", kind, key, info.name, tensor))
		}
	}
	check("input", want.Input, want.InputTensor, def.inputs, dtInt32, []int64{-1, int64(v.RowLen)})
	check("output", want.Output, want.OutputTensor, def.outputs, dtFloat, []int64{-1})
	return want, errors.Join(faults...)
}

// parseSignatures reads MetaGraphDef.signature_def, field 5: map<string, SignatureDef>.
func parseSignatures(meta []byte) (map[string]signatureDef, error) {
	defs := map[string]signatureDef{}
	err := eachField(meta, func(num protowire.Number, value []byte, _ uint64) error {
		if num != 5 {
			return nil
		}
		key, entry, err := mapEntry(value)
		if err != nil {
			return err
		}
		def := signatureDef{inputs: map[string]tensorInfo{}, outputs: map[string]tensorInfo{}}
		defs[key] = def
		return eachField(entry, func(num protowire.Number, value []byte, _ uint64) error {
			into := map[protowire.Number]map[string]tensorInfo{1: def.inputs, 2: def.outputs}[num]
			if into == nil {
				return nil
			}
			key, entry, err := mapEntry(value)
			if err != nil {
				return err
			}
			into[key], err = parseTensorInfo(entry)
			return err
		})
	})
	return defs, err
}

func parseTensorInfo(data []byte) (info tensorInfo, err error) {
	err = eachField(data, func(num protowire.Number, value []byte, n uint64) error {
		switch num {
		case 1:
			info.name = string(value)
		case 2:
			info.dtype = n
		case 3: // TensorShapeProto: dim = 2, unknown_rank = 3
			info.shape = []int64{}
			unknown := false
			err := eachField(value, func(num protowire.Number, value []byte, n uint64) error {
				if num == 3 {
					unknown = n != 0
				}
				if num != 2 {
					return nil
				}
				size := int64(0) // Dim: size = 1
				err := eachField(value, func(num protowire.Number, _ []byte, n uint64) error {
					if num == 1 {
						size = int64(n)
					}
					return nil
				})
				info.shape = append(info.shape, size)
				return err
			})
			if unknown {
				info.shape = nil
			}
			return err
		}
		return nil
	})
	return info, err
}

// mapEntry reads a map's entry: key = 1, value = 2.
func mapEntry(data []byte) (key string, value []byte, err error) {
	err = eachField(data, func(num protowire.Number, v []byte, _ uint64) error {
		switch num {
		case 1:
			key = string(v)
		case 2:
			value = v
		}
		return nil
	})
	return key, value, err
}

// eachField calls do with each field of a message: its bytes, or its number where it is a varint.
func eachField(data []byte, do func(num protowire.Number, value []byte, n uint64) error) error {
	for len(data) > 0 {
		num, kind, used := protowire.ConsumeTag(data)
		if used < 0 {
			return protowire.ParseError(used)
		}
		data = data[used:]
		var value []byte
		var n uint64
		switch kind {
		case protowire.BytesType:
			value, used = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			n, used = protowire.ConsumeVarint(data)
		default:
			used = protowire.ConsumeFieldValue(num, kind, data)
		}
		if used < 0 {
			return protowire.ParseError(used)
		}
		data = data[used:]
		if err := do(num, value, n); err != nil {
			return err
		}
	}
	return nil
}
