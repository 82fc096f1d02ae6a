package predict

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"gavel/internal/engine"
)

// The binary tensor extension of the Open Inference Protocol: tensors as bytes after the JSON.

// readBinary reads the tensors that follow the JSON.
func (r *infer) readBinary(data []byte) error {
	for i := range r.tensors {
		x := &r.tensors[i]
		if x.bytes < 0 {
			continue
		}
		if x.bytes > len(data) {
			return fmt.Errorf("input %q has binary_data_size %d; %d bytes are left of the body", x.name, x.bytes, len(data))
		}
		var err error
		if x.as == typeBYTES {
			err = r.binaryTexts(x, data[:x.bytes])
		} else {
			err = r.binaryNumbers(x, data[:x.bytes])
		}
		if err != nil {
			return err
		}
		data = data[x.bytes:]
	}
	if len(data) > 0 {
		return fmt.Errorf("%d bytes follow the last binary input", len(data))
	}
	return nil
}

func (r *infer) binaryNumbers(x *tensor, data []byte) error {
	size, most := datatypeSizes[x.as], x.n*x.width
	if len(data) != most*size {
		return fmt.Errorf("input %q has binary_data_size %d; its shape of %s has %d", x.name, len(data), x.as, most*size)
	}
	f, h := &r.schema.Inputs[x.column], &r.held[x.column]
	for i := range most {
		v := data[i*size:]
		switch {
		case x.as == typeFP64:
			h.Float64 = append(h.Float64, math.Float64frombits(binary.LittleEndian.Uint64(v)))
		case x.as == typeFP32 && f.Type == engine.Float32:
			h.Float32 = append(h.Float32, math.Float32frombits(binary.LittleEndian.Uint32(v)))
		case x.as == typeFP32:
			h.Float64 = append(h.Float64, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))))
		default:
			whole := int64(int32(binary.LittleEndian.Uint32(v)))
			if x.as == typeINT64 {
				whole = int64(binary.LittleEndian.Uint64(v))
			}
			if !appendWhole(h, f.Type, whole) {
				r.fault(i/x.width, "column %q: %d is given; %s is accepted", f.Name, whole, accepted(f.Type, x.as))
			}
		}
	}
	return nil
}

func (r *infer) binaryTexts(x *tensor, data []byte) error {
	f, h := &r.schema.Inputs[x.column], &r.held[x.column]
	for i := range x.n * x.width {
		if len(data) < 4 || uint64(binary.LittleEndian.Uint32(data)) > uint64(len(data)-4) {
			return fmt.Errorf("input %q ends within text %d; each is its length in 4 bytes, then its bytes", x.name, i)
		}
		text := data[4 : 4+binary.LittleEndian.Uint32(data)]
		data = data[4+len(text):]
		if !utf8.Valid(text) && string(text) != missingText {
			r.fault(i/x.width, "column %q: %s is given, which is not UTF-8; a text, or the byte 0xFF for a missing one, is accepted", f.Name, show(text))
			continue
		}
		begin := len(r.texts.memory)
		r.texts.memory = append(r.texts.memory, text...)
		h.Text = append(h.Text, r.texts.since(begin))
	}
	if len(data) > 0 {
		return fmt.Errorf("input %q has %d bytes after its last text", x.name, len(data))
	}
	return nil
}
