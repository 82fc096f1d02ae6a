package codec

import "gavel/internal/packed"

// Events use this subset of msgpack: nil, bool, int, float32, float64, str, array.

func appendInts(b []byte, s []int) []byte {
	b = packed.AppendList(b, len(s))
	for _, v := range s {
		b = packed.AppendInt(b, int64(v))
	}
	return b
}
